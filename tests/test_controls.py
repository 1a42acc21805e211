"""What a person at the box can do, without cards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.controls import Controls


class Card:
    """As much of a microphone as the controls know."""

    def __init__(self) -> None:
        self.mute = False
        self.retried = 0

    def retry(self) -> None:
        self.retried += 1


class Box:
    def __init__(self, state: Path) -> None:
        self.cards = [Card(), Card()]
        self.changes = self.stops = 0
        self.controls = Controls(self.cards, state, self._changed, self._stop)  # type: ignore[arg-type]

    def _changed(self) -> None:
        self.changes += 1

    def _stop(self) -> None:
        self.stops += 1


def test_a_press_mutes_all_microphones_and_another_one_opens_them(tmp_path):
    box = Box(tmp_path)
    box.controls.toggle_mute()
    assert [card.mute for card in box.cards] == [True, True]
    assert box.controls.muted
    box.controls.toggle_mute()
    assert [card.mute for card in box.cards] == [False, False]
    assert box.changes == 2


def test_what_was_muted_is_muted_after_a_restart(tmp_path):
    Box(tmp_path).controls.toggle_mute()
    again = Box(tmp_path)
    again.controls.restore()
    assert [card.mute for card in again.cards] == [True, True]
    again.controls.toggle_mute()
    third = Box(tmp_path)
    third.controls.restore()
    assert [card.mute for card in third.cards] == [False, False]


def test_when_nobody_can_tell_it_is_muted(tmp_path, caplog):
    (tmp_path / "state").write_text("a file where a folder is expected")
    box = Box(tmp_path / "state")
    box.controls.restore()
    assert box.controls.muted
    assert "cannot be told" in caplog.text


def test_muting_works_where_nothing_can_be_kept(tmp_path, caplog):
    box = Box(tmp_path / "absent")
    box.controls.toggle_mute()
    assert [card.mute for card in box.cards] == [True, True]
    assert "after a restart" in caplog.text


def test_a_long_press_asks_systemd_to_switch_off(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    box = Box(tmp_path)
    box.controls.power_off()
    assert (tmp_path / "poweroff").exists()
    assert box.stops == 0  # systemd stops it, with all else


@pytest.mark.parametrize("runtime", [None, os.devnull])
def test_without_systemd_a_long_press_ends_the_daemon(tmp_path, monkeypatch, runtime):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    if runtime:
        monkeypatch.setenv("RUNTIME_DIRECTORY", runtime)
    box = Box(tmp_path)
    box.controls.power_off()
    assert box.stops == 1


def test_cards_are_looked_for_when_one_may_have_come(tmp_path):
    box = Box(tmp_path)
    box.controls.retry()
    assert [card.retried for card in box.cards] == [1, 1]
