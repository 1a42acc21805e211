"""Listening without the daemon: not on a muted box, not in the dark."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance import parts
from appliance.board.lamps import RecordingLamps
from appliance.board.lights import Lamp
from appliance.capture.wire import Opened, encode
from appliance.config import MicrophoneConfig
from appliance.doctor import sound
from appliance.doctor.door import Shut, opened
from appliance.doctor.findings import Verdict
from appliance.doctor.listen import listen
from tests.doctor.test_checks import made

DESK = MicrophoneConfig(name="desk")


def test_a_muted_box_stays_muted(tmp_path: Path) -> None:
    box = made(tmp_path)
    box.config.state_dir.mkdir()
    (box.config.state_dir / "muted").touch()
    with pytest.raises(Shut, match=r"^the microphones are muted$") as shut, opened(box.config):
        pass
    assert "press the button" in shut.value.advice
    level = sound.level(box)
    assert (level.facts, level.verdict) == (("the microphones are muted",), Verdict.NOTE)
    assert "press the button" in level.advice


def test_when_in_doubt_it_is_muted(tmp_path: Path) -> None:
    box = made(tmp_path)
    box.config.state_dir.write_text("no folder")
    with pytest.raises(Shut, match="cannot be told: Not a directory"), opened(box.config):
        pass


def test_no_card_is_opened_in_the_dark(tmp_path: Path) -> None:
    box = made(tmp_path, lights={"microphone": "NO-SUCH-LINE"})
    with pytest.raises(Shut, match="the microphone lamp cannot be lit") as shut, opened(box.config):
        pass
    assert "wiring" in shut.value.advice
    assert "the microphone lamp cannot be lit" in sound.level(box).facts[0]


def test_the_lamp_is_lit_while_the_card_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell script stands in for the reader process."""
    (tmp_path / "frames").write_bytes(encode(Opened("card", 16_000, 1)) + encode(b"\0\0" * 1600))
    reader = tmp_path / "reader"
    reader.write_text(f"#!/bin/sh\ncat {tmp_path / 'frames'}; exec sleep 60\n")
    reader.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(reader))
    lamps = RecordingLamps()
    monkeypatch.setattr(parts, "lamps", lambda *_: lamps)
    lit: list[bool] = []
    with opened(made(tmp_path).config) as guard:
        listen(DESK, 0.1, lambda _: lit.append(Lamp.MICROPHONE in lamps.lit()), guard=guard)
    assert lit == [True]
    assert lamps.closed
