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
GUESSES = 1000
"""Keys that can be guessed, compared in one window for an address that is crowded. The delays let about as many
through: 11 answers at a time, 5 s each, are 1,320 in 600 s."""


class _Windows:
    """Events per address since the first one of the address's window. Times in seconds."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[float, int]] = {}

    def add(self, address: str, now: float) -> None:
        """Count one more event."""
        count = self.count(address, now)
        if count:
            self._counts[address] = (self._counts[address][0], count + 1)
            return
        self._counts.pop(address, None)  # keeps the entries in the order in which their windows began
        self._counts[address] = (now, 1)
        if len(self._counts) > ADDRESSES:
            del self._counts[next(iter(self._counts))]

    def count(self, address: str, now: float) -> int:
        """Return the events in the window. A clock that was set back ends the window as well."""
        started, count = self._counts.get(address, (now, 0))
        return count if 0 <= now - started < WINDOW_S else 0


class Attempts:
    """What is remembered of addresses. Times in seconds."""

    def __init__(self) -> None:
        self._failures = _Windows()
        self._guesses = _Windows()
        self._waiting: Counter[str] = Counter()

    def failed(self, address: str, now: float) -> None:
        """A key or token from there was not good."""
        self._failures.add(address, now)

    def guessed(self, address: str, now: float) -> None:
        """Count a key that was compared while the address was crowded, and did not match."""
        self._guesses.add(address, now)

    def may_guess(self, address: str, now: float) -> bool:
        """Return whether a key that can be guessed is still compared while the address is crowded."""
        return self._guesses.count(address, now) < GUESSES

    def delay(self, address: str, now: float) -> float:
        """Seconds to hold back the answer to the latest failure."""
        return DELAYS_S[min(self._failures.count(address, now), len(DELAYS_S) - 1)]

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
