"""Which cards can hear. Asked in a fresh process each time: PortAudio sees the cards that were there when it started.

PortAudio learns about a card by opening it, so it leaves out one that is held by somebody (also by ourselves). Those
are read from the kernel's /proc/asound, with the rate and channels they are running at.

Names of cards come from USB descriptors and drivers, which cut them at a fixed number of bytes: also inside a letter of
UTF-8. Bytes that are no letter are read as U+FFFD.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct

from appliance import interpreter

DEFAULT = "default"
"""The name of ALSA's default device, and of the choice to use it."""
DEADLINE_S = 20.0
"""Seconds for listing; a slow board needs about 3, the rest is for drivers that take their time."""
PROC = Path("/proc/asound")
NUMBERS = re.compile(r" \((?:plug)?hw:(\d+),(\d+)\)$")
"""The end of PortAudio's name of a real card (pa_linux_alsa.c, BuildDeviceList): card and device number."""


class Device(Struct, frozen=True):
    """A card that can be recorded from: its native ``rate`` in Hz, its most ``channels``."""

    name: str
    rate: int
    channels: int
    default: bool = False
    busy: bool = False
    """Held by a program; ``rate`` and ``channels`` are what it runs at, 0 while that is not known."""
    alsa: str = ""
    """ALSA's name of a real card, as in ``hw:CARD=Device,DEV=0``, which keeps when card numbers change."""


class CaptureError(Exception):
    """Cards cannot be listed; the message says why in one line."""


def list_devices() -> list[Device]:
    """All input cards as they are now; blocks for about half a second. CaptureError when nobody can tell."""
    command = interpreter.command(__name__)
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise CaptureError(f"the sound system did not answer in {DEADLINE_S:.0f} s") from problem
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"PortAudio crashed ({done.returncode})"]
        raise CaptureError(lines[-1])
    return msgspec.json.decode(done.stdout, type=list[Device])


def load_portaudio() -> ModuleType:
    """The sounddevice module, with PortAudio started. CaptureError when the library is missing."""
    try:
        import sounddevice
    except OSError as problem:
        raise CaptureError("PortAudio is not installed (Debian package libportaudio2)") from problem
    module: ModuleType = sounddevice
    _tolerate_names(module)
    return module


class _Name(bytes):
    """PortAudio's bytes, which sounddevice decodes strictly."""

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def _tolerate_names(portaudio: Any) -> None:
    """Make sounddevice read names that are not UTF-8; it raises for all devices, and when it opens one (0.5.6)."""
    strict = portaudio._ffi_string
    if not isinstance(strict, partial):
        portaudio._ffi_string = partial(lambda pointer: _Name(strict(pointer)))


def inputs(portaudio: ModuleType, root: Path = PROC) -> dict[int, Device]:
    """PortAudio's index -> card, for cards that are free to be opened; those of ALSA where ALSA is."""
    apis = portaudio.query_hostapis()
    chosen = [api for api in apis if api["name"] == "ALSA"] or apis
    defaults = {api["default_input_device"] for api in chosen}
    ids = {number: card for number, (card, _) in _cards(root).items()}
    return {
        index: Device(
            card["name"],
            int(card["default_samplerate"]),
            card["max_input_channels"],
            index in defaults,
            alsa=_alsa(ids, *found.groups()) if (found := NUMBERS.search(card["name"])) else "",
        )
        for api in chosen
        for index in api["devices"]
        if (card := portaudio.query_devices(index))["max_input_channels"] > 0
    }


def held(root: Path = PROC) -> list[Device]:
    """The capture devices of real cards that a program holds, named as PortAudio names them."""
    cards = _cards(root)
    ids = {number: card for number, (card, _) in cards.items()}
    found = []
    for stream in sorted(root.glob("card*/pcm*c")):
        info, running = _fields(stream / "info"), _fields(stream / "sub0" / "hw_params")
        if info.get("subdevices_avail") == "0":
            number, device = info["card"], info["device"]
            name = f"{cards[number][1] if number in cards else 'card'}: {info['name']} (hw:{number},{device})"
            rate, channels = int(running.get("rate", "0").split()[0]), int(running.get("channels", "0"))
            found.append(Device(name, rate, channels, busy=True, alsa=_alsa(ids, number, device)))
    return found


def _cards(root: Path) -> dict[str, tuple[str, str]]:
    """Card number -> its id and its name; none where ALSA is not."""
    rows = re.findall(r"^ *(\d+) \[(.*?) *\]: .*? - (.*)$", _text(root / "cards"), re.MULTILINE)
    return {number: (card, name) for number, card, name in rows}


def _alsa(ids: Mapping[str, str], number: str, device: str) -> str:
    """ALSA's name of a card's device; empty when the card is not known."""
    return f"hw:CARD={ids[number]},DEV={device}" if number in ids else ""


def _fields(path: Path) -> dict[str, str]:
    """``key: value`` lines of a file of /proc/asound; none when it is gone or closed."""
    return dict(re.findall(r"^(\w+): (.*)$", _text(path), re.MULTILINE))


def _text(path: Path) -> str:
    """A file of /proc/asound; empty when it is gone."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def main() -> None:
    """Print the cards as JSON; a readable line on stderr and code 1 when they cannot be told."""
    try:
        free = list(inputs(load_portaudio()).values())
    except CaptureError as problem:
        sys.exit(str(problem))
    print(msgspec.json.encode(free + held()).decode())


if __name__ == "__main__":
    main()
