"""Lamp drivers: GPIO lines by name through libgpiod 2, one that only remembers, and none."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from appliance.board.lights import Lamp

if TYPE_CHECKING:
    from gpiod import Chip, LineRequest, LineSettings
    from gpiod.line import Value

CONSUMER = "appliance"
"""How our lines are marked in ``gpioinfo``."""
DEVICES = Path("/dev")


class LampError(Exception):
    """A GPIO line that cannot be had or used; the message names the line and the reason."""


class Lamps(Protocol):
    """Lamps that can be switched. A lamp that is not there is switched without effect."""

    def has(self, lamp: Lamp) -> bool:
        """Whether this lamp is set up; it may still be out of order."""
        ...

    def set(self, lamp: Lamp, on: bool) -> None:
        """Switch a lamp; done when this returns. Raises ``LampError``, and may be called again then."""
        ...

    def descriptor(self, lamp: Lamp) -> int | None:
        """A file that keeps the lamp as it is for as long as anybody has it open; None where there is none."""
        ...

    def close(self) -> None:
        """Everything dark, nothing held."""
        ...


class NoLamps:
    """A box without lamps."""

    def has(self, lamp: Lamp) -> bool:
        return False

    def set(self, lamp: Lamp, on: bool) -> None:
        pass

    def descriptor(self, lamp: Lamp) -> int | None:
        return None

    def close(self) -> None:
        pass


class RecordingLamps:
    """All lamps, and what was done with them, in order. A lamp in ``broken`` cannot be switched."""

    def __init__(self) -> None:
        self.history: list[tuple[Lamp, bool]] = []
        self.broken: list[Lamp] = []
        self.closed = False

    def has(self, lamp: Lamp) -> bool:
        return True

    def set(self, lamp: Lamp, on: bool) -> None:
        if lamp in self.broken:
            raise LampError(f"lamp {lamp}: broken")
        self.history.append((lamp, on))

    def descriptor(self, lamp: Lamp) -> int | None:
        return None

    def close(self) -> None:
        self.closed = True

    def lit(self) -> frozenset[Lamp]:
        """The lamps that are lit now."""
        return frozenset(lamp for lamp, on in dict(self.history).items() if on)


class GpiodLamps:
    """Lamps on GPIO lines. A line is looked for when its lamp is first switched, and again after a failure.

    ``lines`` are names as ``gpioinfo`` shows them ("GPIO17"); an empty one means that there is no such lamp.
    """

    def __init__(self, lines: Mapping[Lamp, str], *, active_low: bool = False, devices: Path = DEVICES) -> None:
        self._lines = {lamp: name for lamp, name in lines.items() if name}
        self._active_low = active_low
        self._devices = devices
        self._requests: dict[Lamp, LineRequest] = {}

    def has(self, lamp: Lamp) -> bool:
        return lamp in self._lines

    def set(self, lamp: Lamp, on: bool) -> None:
        name = self._lines.get(lamp)
        if name is None:
            return
        with library(name):
            from gpiod.line import Value
        value = Value.ACTIVE if on else Value.INACTIVE
        request = self._requests.get(lamp)
        if request is None:
            self._requests[lamp] = self._take(name, value)
            return
        try:
            request.set_value(name, value)
        except OSError as error:  # the chip is gone
            del self._requests[lamp]
            _release(request)
            raise LampError(f"GPIO line {name}: {error.strerror}") from error

    def descriptor(self, lamp: Lamp) -> int | None:
        request = self._requests.get(lamp)
        return None if request is None else request.fd

    def close(self) -> None:
        if not self._requests:
            return
        from gpiod.line import Value

        while self._requests:
            lamp, request = self._requests.popitem()
            with contextlib.suppress(OSError):  # the chip is gone, and with it the lamp
                request.set_value(self._lines[lamp], Value.INACTIVE)
            _release(request)

    def _take(self, name: str, value: Value) -> LineRequest:
        from gpiod import LineSettings
        from gpiod.line import Direction

        settings = LineSettings(direction=Direction.OUTPUT, active_low=self._active_low, output_value=value)
        return take(name, settings, self._devices)


@contextlib.contextmanager
def library(name: str) -> Iterator[None]:
    """Around what is imported of gpiod for the line with this name: raises ``LampError`` where it cannot be."""
    try:
        yield
    except ImportError as error:
        raise LampError(f"GPIO line {name}: the library gpiod is missing ({error})") from error


def take(name: str, settings: LineSettings, devices: Path = DEVICES) -> LineRequest:
    """Our own hold of the line with this name, on whichever chip it is. Raises ``LampError``."""
    import gpiod

    if name.isdigit():
        raise LampError(f"GPIO line {name}: lines go by their names, as in gpioinfo, not by numbers")
    paths = sorted(str(path) for path in devices.glob("gpiochip*"))
    refused = []
    for path in paths:
        try:
            if not gpiod.is_gpiochip_device(path):
                continue
            with gpiod.Chip(path) as chip:
                request = _request(chip, name, settings)
        except OSError as error:
            refused.append(f"{path}: {error.strerror or error}")
            continue
        if request is not None:
            return request
    if refused:
        raise LampError(f"GPIO line {name}: {'; '.join(refused)}")
    raise LampError(f"GPIO line {name}: not found; " + (f"looked on {', '.join(paths)}" if paths else "no GPIO chip"))


def _request(chip: Chip, name: str, settings: LineSettings) -> LineRequest | None:
    """The line if this chip has it. Raises ``LampError`` when it has but does not give it."""
    try:
        offset = chip.line_offset_from_id(name)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    info = chip.get_line_info(offset)
    try:
        return chip.request_lines({name: settings}, consumer=CONSUMER)
    except OSError as error:
        used = f", used by {info.consumer or 'the kernel'}" if info.used else ""
        raise LampError(f"GPIO line {name} on {chip.path}: {error.strerror or error}{used}") from error


def _release(request: LineRequest) -> None:
    with contextlib.suppress(OSError):
        request.release()
