"""What a person at the box can do, without cards."""

from __future__ import annotations

import asyncio
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
        self.notes: dict[str, str] = {}
        self.controls = Controls(
            self.cards,  # type: ignore[arg-type]
            state,
            on_change=self._changed,
            note=self.notes.__setitem__,
            stop=self._stop,
        )

    def press(self, times: int = 1) -> None:
        """So many short presses, kept as far as that can be."""

        async def work() -> None:
            for _ in range(times):
                self.controls.toggle_mute()
            assert self.controls.kept is not None
            await self.controls.kept
            await asyncio.sleep(0)

        asyncio.run(work())

    def _changed(self) -> None:
        self.changes += 1

    def _stop(self) -> None:
        self.stops += 1


def test_a_press_mutes_all_microphones_and_another_one_opens_them(tmp_path):
    box = Box(tmp_path)
    box.press()
    assert [card.mute for card in box.cards] == [True, True]
    assert box.controls.muted
    box.press()
    assert [card.mute for card in box.cards] == [False, False]
    assert box.changes == 2


@pytest.mark.parametrize(("times", "muted"), [(1, True), (2, False), (5, True), (8, False)])
def test_what_was_muted_is_muted_after_a_restart(tmp_path, times, muted):
    Box(tmp_path).press(times)
    again = Box(tmp_path)
    again.controls.restore()
    assert [card.mute for card in again.cards] == [muted, muted]


def test_muting_is_on_the_disk_when_it_is_kept(tmp_path, monkeypatch):
    """A plug that is pulled right after the press must not undo it."""
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    Box(tmp_path).press()
    assert synced == [str(tmp_path / "muted.new"), str(tmp_path)]


def test_when_nobody_can_tell_it_is_muted(tmp_path):
    (tmp_path / "state").write_text("a file where a folder is expected")
    box = Box(tmp_path / "state")
    box.controls.restore()
    assert box.controls.muted
    assert "cannot be told" in box.notes["mute"]


def test_muting_works_where_nothing_can_be_kept_and_the_owner_is_told(tmp_path):
    box = Box(tmp_path / "absent")
    box.press()
    assert [card.mute for card in box.cards] == [True, True]
    assert "after a restart" in box.notes["mute"]


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
