"""How late a stream's audio is dealt with. Pure; the clock is passed in, in seconds.

A byte is due when it arrives, or when the bytes before it have been heard at their natural pace, whichever is later: a
client that sends faster than real time is not kept waiting by us, and neither is one that pauses.
"""

from __future__ import annotations

from collections import deque

NEWS_S = 0.5
"""Of audio dealt with or of time gone by: what has no event in it is reported no more often, for all sessions at once.
It halves what the daemon has to do for a stream."""
GRAIN_S = 0.02
"""What arrives closer together is taken as one."""
MARKS = 4_096
"""Kept at most: more than a minute of such grains."""
AHEAD_S = 1.0
"""Audio that came so long before it was due is not live."""


class Lag:
    """Of one stream. ``rate`` is its bytes per second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._received = self._consumed = 0
        self._due = float("-inf")
        """When the last byte that came is due."""
        self._marks: deque[tuple[int, float, float]] = deque(maxlen=MARKS)
        """Of what has not been dealt with, and the last that has: its end, when it came, when its last byte is due."""
        self._told_at = 0.0
        self._least: float | None = None

    def arrived(self, size: int, at: float) -> None:
        """So many bytes of audio."""
        self._received += size
        self._due = max(self._due, at) + size / self._rate
        if self._marks and at - self._marks[-1][1] < GRAIN_S:
            self._marks[-1] = (self._received, self._marks[-1][1], self._due)
        else:
            self._marks.append((self._received, at, self._due))

    def dealt(self, consumed: int, at: float) -> None:
        """A worker has come to this byte."""
        self._consumed = consumed
        self._told_at = at
        while self._marks and self._marks[0][0] < consumed:
            self._marks.popleft()
        late = self._late_s(at)
        self._least = late if self._least is None else min(late, self._least)

    def late_s(self, at: float) -> float:
        """How long the next byte has been waiting beyond its time. What was not reported yet is not held against it."""
        return self._late_s(min(at, max(self._told_at, at - NEWS_S)))

    def least_s(self, at: float) -> float:
        """The least lateness since this was last asked: what is left when work that comes in lumps has been done."""
        least, self._least = self._least, None
        return self.late_s(at) if least is None else least

    def waited_s(self, end: int, at: float) -> float | None:
        """Seconds since the byte came that ends ``end`` bytes; ``None`` when that is not known or was not live."""
        for received, came, due in self._marks:
            if received >= end:
                begins = due - (received - end) / self._rate
                return at - came if begins - came < AHEAD_S else None
        return None

    def _late_s(self, at: float) -> float:
        for received, _, due in self._marks:
            if received > self._consumed:
                return max(0.0, at - (due - (received - self._consumed) / self._rate))
        return 0.0
