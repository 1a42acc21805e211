"""The push button: a short press and a long one, told apart by a pure state machine fed with edges and their times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.board.lamps import DEVICES, library, take

if TYPE_CHECKING:
    from gpiod import LineRequest

DEBOUNCE_S = 0.03
"""Contacts bounce for less; a level counts once it has held for so long."""
SHORT_S = 1.0
"""A press shorter than this is a short one."""
LONG_S = 3.0
"""A press is a long one as soon as it has lasted so long; one that ends between the two means nothing."""

log = logging.getLogger(__name__)


class Gesture(StrEnum):
    SHORT = "short"
    LONG = "long"


class Press:
    """Times are seconds of one clock that never goes back. It begins with the button up."""

    def __init__(self) -> None:
        self.down = False
        """The level last told, bounces included."""
        self._changed = 0.0
        self._held_since: float | None = None
        """Begin of the press that is settled; None when the button is settled up, or the press was told already."""
        self._settled = False

    def edge(self, down: bool, at: float) -> Gesture | None:
        """The button went down or up. What was complete before that."""
        gesture = self.advance(at)
        if down != self.down:
            self.down, self._changed = down, at
        return gesture

    def advance(self, now: float) -> Gesture | None:
        """Time has passed. What is complete by now."""
        gesture = None
        if self.down != self._settled and now >= self._changed + DEBOUNCE_S:
            self._settled = self.down
            if self.down:
                self._held_since = self._changed
            elif self._held_since is not None:
                gesture = Gesture.SHORT if self._changed - self._held_since < SHORT_S else None
                self._held_since = None
        if self.down and self._held_since is not None and now >= self._held_since + LONG_S:
            self._held_since = None
            gesture = Gesture.LONG
        return gesture

    def due(self) -> float | None:
        """When to call ``advance`` unless there is an edge before; None when only an edge can change anything."""
        if self.down != self._settled:
            return self._changed + DEBOUNCE_S
        return None if self._held_since is None else self._held_since + LONG_S


class GpiodButton:
    """A button between a GPIO line and ground, read in the running event loop. Raises ``LampError`` without the line.

    The line is pulled up where the chip can do that. ``devices`` is where the GPIO chips are.
    """

    def __init__(
        self, line: str, on_short: Callable[[], None], on_long: Callable[[], None], *, devices: Path = DEVICES
    ) -> None:
        self._line = line
        self._actions = {Gesture.SHORT: on_short, Gesture.LONG: on_long}
        self._press = Press()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._request = _take(line, devices)
        self._fd = self._request.fd
        self._loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        """Give the line back; nothing is called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._request:
            self._loop.remove_reader(self._fd)
            self._request.release()

    def _read(self) -> None:
        """Edges have come. The kernel's times for them are of the clock that the loop has, CLOCK_MONOTONIC."""
        from gpiod import EdgeEvent
        from gpiod.line import Value

        try:
            events = self._request.read_edge_events()
            down = self._request.get_value(self._line) is Value.ACTIVE
        except OSError as error:  # the chip is gone
            log.error("the button is out of order: GPIO line %s: %s", self._line, error.strerror or error)
            self.close()
            return
        for event in events:
            self._do(self._press.edge(event.event_type is EdgeEvent.Type.RISING_EDGE, event.timestamp_ns / 1e9))
        if down != self._press.down:  # the kernel had more edges than room for them
            self._do(self._press.edge(down, self._loop.time()))
        self._wait()

    def _wait(self) -> None:
        """Set the timer for what is due, if anything is."""
        if self._timer is not None:
            self._timer.cancel()
        due = self._press.due() if self._request else None
        self._timer = None if due is None else self._loop.call_at(due, self._pass)

    def _pass(self) -> None:
        self._do(self._press.advance(self._loop.time()))
        self._wait()

    def _do(self, gesture: Gesture | None) -> None:
        if gesture is not None:
            self._actions[gesture]()


def _take(line: str, devices: Path) -> LineRequest:
    with library(line):
        from gpiod import LineSettings
        from gpiod.line import Bias, Direction, Edge
    settings = LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH, bias=Bias.PULL_UP, active_low=True)
    return take(line, settings, devices)
