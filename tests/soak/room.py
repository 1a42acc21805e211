"""A microphone that hears a phrase now and then and is pulled out and plugged in again, and who listens to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from pathlib import Path

from websockets.asyncio.client import connect

from tests.virtual_mic import VirtualMicrophone

PHRASES = 4
"""Between two times that it is pulled out."""
PAUSE_S = 10.0
"""Between phrases. Four of them with their pauses are longer than a card must last to be retried soon."""
OUT_S = 4.0
LISTENS_S = 25.0
"""After which the subscriber comes anew."""


class Room:
    """``seen`` counts phrases played, times plugged in again, and what the feed told."""

    def __init__(self, microphone: VirtualMicrophone, phrase: Path, feed: str) -> None:
        self.seen: Counter[str] = Counter()
        self._microphone, self._phrase, self._feed = microphone, phrase, feed

    async def live(self, until: float) -> None:
        """Until that time of the monotonic clock; plugged in at the end."""
        while time.monotonic() < until:
            for _ in range(PHRASES):
                await asyncio.to_thread(self._microphone.play, self._phrase)
                self.seen["played"] += 1
                await asyncio.sleep(PAUSE_S)
            if time.monotonic() < until:
                await asyncio.to_thread(self._microphone.unplug)
                await asyncio.sleep(OUT_S)
                await asyncio.to_thread(self._microphone.replug)
                self.seen["replugged"] += 1

    async def listen(self, until: float) -> None:
        """A subscriber of the feed that comes and goes."""
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTENS_S), connect(self._feed) as feed:
                    async for message in feed:
                        event = json.loads(message)
                        self.seen[event.get("state", event["type"])] += 1
