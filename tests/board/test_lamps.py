"""Lamp drivers, as far as they go without a GPIO chip; with gpio-sim they are run in tests/boot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.board.lamps import DEVICES, GpiodLamps, LampError, NoLamps, RecordingLamps
from appliance.board.lights import Lamp

LINES = {Lamp.STATUS: "GPIO22", Lamp.MICROPHONE: "GPIO27", Lamp.ACTIVITY: ""}


@pytest.fixture(autouse=True)
def library() -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed")


def test_a_lamp_without_a_line_is_no_lamp(tmp_path: Path) -> None:
    lamps = GpiodLamps(LINES, devices=tmp_path)
    assert [lamps.has(lamp) for lamp in Lamp] == [True, True, False]
    lamps.set(Lamp.ACTIVITY, True)
    lamps.close()


def test_an_error_names_the_line_and_what_is_wrong(tmp_path: Path) -> None:
    lamps = GpiodLamps(LINES, devices=tmp_path)
    with pytest.raises(LampError, match=r"^GPIO line GPIO27: not found; no GPIO chip$"):
        lamps.set(Lamp.MICROPHONE, True)


def test_a_file_that_is_no_chip_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").write_text("")
    (tmp_path / "gpiochip7").symlink_to("/dev/null")
    lamps = GpiodLamps(LINES, devices=tmp_path)
    with pytest.raises(LampError, match=r"GPIO27: not found; looked on .*gpiochip0, .*gpiochip7"):
        lamps.set(Lamp.MICROPHONE, True)


def test_a_number_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(LampError, match="GPIO line 27: lines go by their names"):
        GpiodLamps({Lamp.STATUS: "27"}, devices=tmp_path).set(Lamp.STATUS, True)


@pytest.mark.skipif(not any(DEVICES.glob("gpiochip*")), reason="this machine has no GPIO chip")
def test_a_line_that_no_chip_has() -> None:
    with pytest.raises(LampError, match="GPIO line NO-SUCH-LINE: "):
        GpiodLamps({Lamp.STATUS: "NO-SUCH-LINE"}).set(Lamp.STATUS, True)


def test_without_the_library_lamps_are_out_of_order_and_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gpiod", "gpiod.line"):
        monkeypatch.setitem(sys.modules, module, None)
    lamps = GpiodLamps(LINES)
    with pytest.raises(LampError, match="GPIO line GPIO22: the library gpiod is missing"):
        lamps.set(Lamp.STATUS, True)
    lamps.close()


def test_recording_lamps_know_what_is_lit() -> None:
    lamps = RecordingLamps()
    lamps.set(Lamp.STATUS, True)
    lamps.set(Lamp.MICROPHONE, True)
    lamps.set(Lamp.STATUS, False)
    assert lamps.lit() == {Lamp.MICROPHONE}
    assert lamps.history[-1] == (Lamp.STATUS, False)


def test_no_lamps_take_everything() -> None:
    lamps = NoLamps()
    lamps.set(Lamp.STATUS, True)
    assert not any(lamps.has(lamp) for lamp in Lamp)
    lamps.close()
