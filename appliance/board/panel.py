"""Plays the patterns of light, and is the guard of the cards: none is opened that cannot be seen to be open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from msgspec import structs

from appliance.board.lamps import LampError, Lamps
from appliance.board.lights import Facts, Lamp, Pattern, lit, patterns, until_edge

RETRY_S = 5.0
"""Between two tries of a lamp that could not be switched."""

log = logging.getLogger(__name__)


class Panel:
    """The box's lamps. All methods run in one thread and none raises for a lamp; ``run`` blinks.

    It can be a microphone's guard: between ``opening`` and ``closed`` the microphone lamp is lit whatever is shown.
    """

    def __init__(self, lamps: Lamps, clock: Callable[[], float] = time.monotonic) -> None:
        self._lamps = lamps
        self._clock = clock
        self._facts = Facts(starting=True)
        self._cards = 0
        self._patterns: dict[Lamp, Pattern] = {}
        self._began: dict[Lamp, float] = {}
        self._is: dict[Lamp, bool] = {}
        """What was last switched with success."""
        self._failed: dict[Lamp, str] = {}
        self._retry: dict[Lamp, float] = {}
        """When to try a lamp again that could not be switched."""
        self._changed = asyncio.Event()

    def show(self, facts: Facts) -> None:
        """The new state of things; the lamps are switched when this returns.

        ``cards_open`` counts as no less than the cards between ``opening`` and ``closed``.
        """
        self._facts = structs.replace(facts, cards_open=max(facts.cards_open, self._cards))
        now = self._clock()
        for lamp, pattern in patterns(self._facts).items():
            if self._patterns.get(lamp) != pattern:
                self._patterns[lamp], self._began[lamp] = pattern, now
            self._apply(lamp, now)
        self._changed.set()

    def opening(self) -> str | None:
        """A card is about to be opened: the lamp is lit when this returns None, else the card has to stay closed."""
        self._cards += 1
        self._retry.pop(Lamp.MICROPHONE, None)
        self.show(self._facts)
        if self.microphone_lit():
            return None
        reason = f"the microphone lamp cannot be lit: {self._failed.get(Lamp.MICROPHONE, 'unknown')}"
        self.closed()
        return reason

    def descriptors(self) -> tuple[int, ...]:
        """Files that a process with an open card has to hold, so that the lamp stays lit should we be killed."""
        descriptor = self._lamps.descriptor(Lamp.MICROPHONE)
        return () if descriptor is None else (descriptor,)

    def closed(self) -> None:
        """A card for which ``opening`` gave None is closed."""
        self._cards -= 1
        self.show(structs.replace(self._facts, cards_open=self._cards))

    @property
    def failures(self) -> Mapping[Lamp, str]:
        """Lamps that are out of order, and why."""
        return self._failed

    def microphone_lit(self) -> bool:
        """Whether the microphone lamp is lit as far as can be told, or there is none to be lit."""
        lamp = Lamp.MICROPHONE
        return not self._lamps.has(lamp) or (self._is.get(lamp, False) and lamp not in self._failed)

    async def run(self) -> None:
        """Blink until cancelled. Wakes for the next edge or for a change, and not at all while everything is steady."""
        while True:
            self._changed.clear()
            delay = self.tick()
            with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it can lose a cancellation
                async with asyncio.timeout(delay):
                    await self._changed.wait()

    def tick(self) -> float | None:
        """Switch what is to be switched by now; the seconds until there is more to do, None when there is not."""
        now = self._clock()
        waits = []
        for lamp, pattern in self._patterns.items():
            if not self._lamps.has(lamp):
                continue
            self._apply(lamp, now)
            if lamp in self._retry:
                waits.append(max(0.0, self._retry[lamp] - now))
            elif (left := until_edge(pattern, self._since(lamp, now))) is not None:
                waits.append(left / 1000)
        return min(waits, default=None)

    def close(self) -> None:
        """Everything dark and given back; to be called when the cards are closed."""
        self._lamps.close()

    def _since(self, lamp: Lamp, now: float) -> int:
        """Milliseconds since the lamp's pattern began; rounded, so that an edge that is waited for has come."""
        return round((now - self._began[lamp]) * 1000)

    def _apply(self, lamp: Lamp, now: float) -> None:
        on = lit(self._patterns[lamp], self._since(lamp, now))
        if now < self._retry.get(lamp, now) or (self._is.get(lamp) is on and lamp not in self._failed):
            return
        try:
            self._lamps.set(lamp, on)
        except LampError as error:
            if lamp not in self._failed:
                log.error("the %s lamp is out of order: %s", lamp, error)
            self._failed[lamp], self._retry[lamp] = str(error), now + RETRY_S
            return
        self._is[lamp] = on
        self._retry.pop(lamp, None)
        if self._failed.pop(lamp, None):
            log.info("the %s lamp works again", lamp)
