"""Turns of the event loop, shared among the sockets whose input is costly to parse.

A read of 256 KiB can hold 43,000 frames of 6 bytes, and parsing them takes a second in which no other client is served.
So a socket keeps what it has read, and parses a slice of it when its turn comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

TURN_BYTES = 4096
"""Parsed per turn of the loop, by all sockets together: at most 682 frames, some 5 ms of a desktop processor."""
SLICE_BYTES = 1024
"""Parsed of one socket before the next one is served; one message of 32 ms of audio at 16 kHz."""


class Turns:
    """A queue of sockets with input to parse. One instance serves all sockets of an event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[int], bool]] = deque()
        self._scheduled = False

    def add(self, parse: Callable[[int], bool]) -> None:
        """Call ``parse`` in one of the next turns, with the number of bytes that it may parse.

        ``parse`` returns whether it wants to be called again. Do not add it a second time before it has returned false.
        """
        self._waiting.append(parse)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        try:
            for _ in range(TURN_BYTES // SLICE_BYTES):
                if not self._waiting:
                    return
                parse = self._waiting.popleft()
                if parse(SLICE_BYTES):
                    self._waiting.append(parse)
        finally:
            self._schedule()
