"""The few seconds between PortAudio's thread, which must never wait, and the writer, which may."""

from __future__ import annotations

import threading
from collections import deque


class Backlog:
    """Blocks of audio in order; holds the newest ``capacity`` and counts what is lost."""

    def __init__(self, capacity: int) -> None:
        self._blocks: deque[bytes] = deque(maxlen=capacity)
        self.ended = False
        """Nothing will come any more."""
        self._overruns = 0
        self._changed = threading.Condition()

    def put(self, block: bytes, overflowed: bool) -> None:
        """Add a block; ``overflowed`` says that the card lost audio before it. The oldest block makes room."""
        with self._changed:
            self._overruns += overflowed + (len(self._blocks) == self._blocks.maxlen)
            self._blocks.append(block)
            self._changed.notify()

    def end(self) -> None:
        """The card is lost."""
        with self._changed:
            self.ended = True
            self._changed.notify()

    def take(self, timeout: float) -> tuple[int, bytes | None]:
        """Overruns since the last call and the oldest block, or ``None`` when none came in ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self.ended, timeout)
            overruns, self._overruns = self._overruns, 0
            return overruns, self._blocks.popleft() if self._blocks else None
