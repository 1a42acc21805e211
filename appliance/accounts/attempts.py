"""Failed attempts by address: how long the next answer is held back. Arithmetic only; the clock is passed in."""

from __future__ import annotations

from collections import Counter

WINDOW_S = 600.0
"""Failures are counted from the first one for so long, and then forgotten."""
DELAYS_S = (0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 5.0)
"""By the number of failures; the last for all beyond. A person mistypes thrice; clients give up after 10 s or more."""
WAITING = 10
"""Answers held back at a time for one address. With more, guessing side by side would be as fast as without delays."""
ADDRESSES = 4096
"""Remembered; beyond that the one whose window began first is forgotten."""


class Attempts:
    """What is remembered of addresses. Times in seconds."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[float, int]] = {}
        self._waiting: Counter[str] = Counter()

    def failed(self, address: str, now: float) -> None:
        """A key or token from there was not good."""
        count = self._count(address, now)
        if count:
            self._failures[address] = (self._failures[address][0], count + 1)
            return
        self._failures.pop(address, None)  # so that the order is that of the windows' beginnings
        self._failures[address] = (now, 1)
        if len(self._failures) > ADDRESSES:
            del self._failures[next(iter(self._failures))]

    def delay(self, address: str, now: float) -> float:
        """Seconds to hold back the answer to the latest failure."""
        return DELAYS_S[min(self._count(address, now), len(DELAYS_S) - 1)]

    def hold(self, address: str) -> None:
        """An answer is being held back from now."""
        self._waiting[address] += 1

    def let_go(self, address: str) -> None:
        """It has been given."""
        self._waiting[address] -= 1
        if self._waiting[address] <= 0:
            del self._waiting[address]

    def crowded(self, address: str) -> bool:
        """More than ``WAITING`` answers are being held back."""
        return self._waiting[address] > WAITING

    def _count(self, address: str, now: float) -> int:
        """Failures in the window. A clock that was set back ends it as well."""
        started, count = self._failures.get(address, (now, 0))
        return count if 0 <= now - started < WINDOW_S else 0
