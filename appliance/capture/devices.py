"""Which cards can hear. Asked in a fresh process each time: PortAudio sees the cards that were there when it started.

PortAudio learns about a card by opening it, so it leaves out one that is held by somebody (also by ourselves). Those
are read from the kernel's /proc/asound, with the rate and channels they are running at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
from msgspec import Struct

from appliance import interpreter

DEFAULT = "default"
"""The name of ALSA's default device, and of the choice to use it."""
DEADLINE_S = 20.0
"""Seconds for listing; a slow board needs about 3, the rest is for drivers that take their time."""
PROC = Path("/proc/asound")


class Device(Struct, frozen=True):
    """A card that can be recorded from: its native ``rate`` in Hz, its most ``channels``."""

    name: str
    rate: int
    channels: int
    default: bool = False
    busy: bool = False
    """Held by a program; ``rate`` and ``channels`` are what it runs at, 0 while that is not known."""


class CaptureError(Exception):
    """Cards cannot be listed; the message says why in one line."""


def list_devices() -> list[Device]:
    """All input cards as they are now; blocks for about half a second. CaptureError when nobody can tell."""
    command = interpreter.command(__name__)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
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
    return module


def inputs(portaudio: ModuleType) -> dict[int, Device]:
    """PortAudio's index -> card, for cards that are free to be opened; those of ALSA where ALSA is."""
    apis = portaudio.query_hostapis()
    chosen = [api for api in apis if api["name"] == "ALSA"] or apis
    defaults = {api["default_input_device"] for api in chosen}
    return {
        index: Device(card["name"], int(card["default_samplerate"]), card["max_input_channels"], index in defaults)
        for api in chosen
        for index in api["devices"]
        if (card := portaudio.query_devices(index))["max_input_channels"] > 0
    }


def find(wanted: str, cards: dict[int, Device]) -> int | None:
    """Index of the card that a configured name means: that exact name, else the first that contains it.

    "default" is ALSA's device of that name, else the default one.
    """
    exact = [index for index, card in cards.items() if card.name == wanted]
    if wanted == DEFAULT:
        similar = [index for index, card in cards.items() if card.default]
    else:
        similar = [index for index, card in cards.items() if wanted.casefold() in card.name.casefold()]
    return next(iter(exact + similar), None)


def held(root: Path = PROC) -> list[Device]:
    """The capture devices of real cards that a program holds, named as PortAudio names them."""
    try:
        cards = dict(re.findall(r"^ *(\d+) \[.*?\]: .*? - (.*)$", (root / "cards").read_text(), re.MULTILINE))
    except OSError:
        return []
    found = []
    for stream in sorted(root.glob("card*/pcm*c")):
        info, running = _fields(stream / "info"), _fields(stream / "sub0" / "hw_params")
        if info.get("subdevices_avail") == "0":
            number = info["card"]
            name = f"{cards.get(number, 'card')}: {info['name']} (hw:{number},{info['device']})"
            rate, channels = int(running.get("rate", "0").split()[0]), int(running.get("channels", "0"))
            found.append(Device(name, rate, channels, busy=True))
    return found


def holds(wanted: str, device: Device) -> bool:
    """Whether a configured name that PortAudio does not know may mean this held device."""
    card = device.name.partition(":")[0].casefold()
    return wanted == DEFAULT or wanted.casefold() in device.name.casefold() or card in wanted.casefold()


def _fields(path: Path) -> dict[str, str]:
    """``key: value`` lines of a file of /proc/asound; none when it is gone or closed."""
    try:
        return dict(re.findall(r"^(\w+): (.*)$", path.read_text(), re.MULTILINE))
    except OSError:
        return {}


def main() -> None:
    """Print the cards as JSON; a readable line on stderr and code 1 when they cannot be told."""
    try:
        free = list(inputs(load_portaudio()).values())
    except CaptureError as problem:
        sys.exit(str(problem))
    print(msgspec.json.encode(free + held()).decode())


if __name__ == "__main__":
    main()
