"""How long to wait before the next try: arithmetic only, the waiting is the caller's."""

from __future__ import annotations


class Backoff:
    """Delays in seconds that grow by ``factor`` from ``first`` to ``longest``."""

    def __init__(self, first: float = 0.5, longest: float = 10.0, factor: float = 2.0) -> None:
        if not (0 < first <= longest and factor >= 1):
            raise ValueError(f"not a growing delay: first {first}, longest {longest}, factor {factor}")
        self._first, self._longest, self._factor = first, longest, factor
        self._next = first

    def next(self) -> float:
        """The delay before the next try; the one after it is longer."""
        delay = self._next
        self._next = min(delay * self._factor, self._longest)
        return delay

    def reset(self) -> None:
        """Begin again with the shortest delay."""
        self._next = self._first
