"""Finding cards: PortAudio's by table, held ones by a copy of what the kernel shows in /proc/asound."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs

from appliance.capture import devices
from appliance.capture.devices import CaptureError, Device
from appliance.capture.wire import Opened, Parser
from appliance.cli.devices import devices as command

USB = Device("USB PnP Sound Device: Audio (hw:1,0)", 48_000, 1)
HAT = Device("seeed2micvoicec: bcm2835-i2s-wm8960 (hw:2,0)", 44_100, 2)
DEFAULT = Device("default", 44_100, 32, default=True)
HELD = Device("USB PnP Sound Device: USB Audio (hw:1,0)", 48_000, 1, busy=True, alsa="hw:CARD=Device,DEV=0")


def test_only_inputs_of_alsa_count_where_alsa_is() -> None:
    def card(name: str, channels: int) -> dict[str, Any]:
        return {"name": name, "max_input_channels": channels, "default_samplerate": 48_000.0}

    cards = [card("oss", 2), card("speaker", 0), card("usb", 1)]
    portaudio: Any = SimpleNamespace(
        query_hostapis=lambda: (
            {"name": "OSS", "devices": [0], "default_input_device": 0},
            {"name": "ALSA", "devices": [1, 2], "default_input_device": 2},
        ),
        query_devices=lambda index: cards[index],
    )
    assert devices.inputs(portaudio) == {2: Device("usb", 48_000, 1, default=True)}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A kernel's account of two cards: a USB microphone that is being read, and a free one."""
    (tmp_path / "cards").write_text(
        " 1 [Device         ]: USB-Audio - USB PnP Sound Device\n"
        "                      C-Media USB PnP Sound Device at usb-1.2, full speed\n"
        " 2 [seeed          ]: seeed - seeed2micvoicec\n"
        "                      seeed2micvoicec\n"
    )
    for number, name, available in ((1, "USB Audio", 0), (2, "bcm2835-i2s-wm8960", 1)):
        stream = tmp_path / f"card{number}" / "pcm0c"
        (stream / "sub0").mkdir(parents=True)
        (stream / "info").write_text(
            f"card: {number}\ndevice: 0\nsubdevice: 0\nstream: CAPTURE\nid: {name}\nname: {name}\n"
            f"subname: subdevice #0\nclass: 0\nsubclass: 0\nsubdevices_count: 1\nsubdevices_avail: {available}\n"
        )
        running = "closed\n" if available else "access: MMAP_INTERLEAVED\nchannels: 1\nrate: 48000 (48000/1)\n"
        (stream / "sub0" / "hw_params").write_text(running)
    return tmp_path


def test_a_held_card_is_told_with_what_it_runs_at(proc: Path) -> None:
    assert devices.held(proc) == [HELD]


def test_a_held_card_that_runs_at_nothing_yet(proc: Path) -> None:
    (proc / "card1" / "pcm0c" / "sub0" / "hw_params").write_text("no setup\n")
    assert devices.held(proc) == [structs.replace(HELD, rate=0, channels=0)]


def test_held_card_name_cut_inside_a_letter_is_read(proc: Path) -> None:
    cards = (proc / "cards").read_bytes()
    (proc / "cards").write_bytes(cards.replace(b"- USB PnP Sound Device\n", "- Mikrofon für ä\n".encode()[:-2] + b"\n"))
    info = proc / "card1" / "pcm0c" / "info"
    info.write_bytes(info.read_bytes().replace(b"name: USB Audio", b"name: USB \xc3"))
    (found,) = devices.held(proc)
    assert found.name == "Mikrofon für \ufffd: USB \ufffd (hw:1,0)"
    assert found.alsa == "hw:CARD=Device,DEV=0"


def test_inputs_real_card_has_alsas_name(proc: Path) -> None:
    name = "seeed2micvoicec: bcm2835-i2s-wm8960 (hw:2,0)"
    portaudio: Any = SimpleNamespace(
        query_hostapis=lambda: ({"name": "ALSA", "devices": [0], "default_input_device": 0},),
        query_devices=lambda index: {"name": name, "max_input_channels": 2, "default_samplerate": 44_100.0},
    )
    assert devices.inputs(portaudio, proc)[0].alsa == "hw:CARD=seeed,DEV=0"


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a device that ALSA has cut inside a letter of UTF-8, as this program reads it."""
    if not ctypes.util.find_library("portaudio"):
        pytest.skip("PortAudio is missing (Debian package libportaudio2)")
    (tmp_path / "asound.conf").write_bytes(
        b"</usr/share/alsa/alsa.conf>\n"
        b'pcm."Mikrofon \xc3" { type null hint { show on description "cut" } }\npcm.!default { type null }\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    return "Mikrofon \ufffd"


def test_list_devices_name_cut_inside_a_letter_is_listed(cut: str) -> None:
    assert {device.name for device in devices.list_devices()} >= {cut, "default"}


@pytest.mark.parametrize("name", ["Mikrofon", "default"])
def test_reader_name_cut_inside_a_letter_is_opened(cut: str, name: str) -> None:
    command = [sys.executable, "-m", "appliance.capture.reader", f"--device={name}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = Parser().feed(process.stdout.read1())[0]
        process.kill()
    assert isinstance(first, Opened), first
    assert first.device == (cut if name == "Mikrofon" else name)


def test_a_machine_without_alsa_holds_nothing(tmp_path: Path) -> None:
    assert devices.held(tmp_path / "none") == []


def answer(monkeypatch: pytest.MonkeyPatch, stdout: str = "", stderr: str = "", code: int = 0) -> None:
    done = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def test_why_cards_cannot_be_listed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, stderr="ALSA lib noise\nPortAudio is not installed\n", code=1)
    with pytest.raises(CaptureError, match=r"^PortAudio is not installed$"):
        devices.list_devices()
    answer(monkeypatch, code=-11)
    with pytest.raises(CaptureError, match="crashed"):
        devices.list_devices()
    result = CliRunner().invoke(command)
    assert (result.exit_code, result.output) == (1, "Error: PortAudio crashed (-11)\n")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutLibrary:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [WithoutLibrary(), *sys.meta_path])
    with pytest.raises(CaptureError, match="libportaudio2"):
        devices.load_portaudio()


def test_the_command_prints_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, stdout=msgspec.json.encode([DEFAULT, USB, Device("held", 0, 0, busy=True)]).decode())
    result = CliRunner().invoke(command)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0] == ["*", "default", "44100", "Hz", "32", "ch"]
    assert lines[2] == ["held", "-", "-", "in", "use"]
    answer(monkeypatch, stdout=msgspec.json.encode([HELD]).decode())
    row = CliRunner().invoke(command).output
    assert row.split()[-6:] == ["Hz", "1", "ch", "hw:CARD=Device,DEV=0", "in", "use"]


def test_no_card_is_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, stdout="[]")
    assert CliRunner().invoke(command).output == "Error: no microphone found\n"
    result = CliRunner().invoke(command, ["--json"])
    assert (result.exit_code, result.stdout) == (1, "[]\n")
