"""Clients of every dialect that come and go: most stay to their last words, some hang up or vanish in mid-word."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.bench.clients import CHUNK, CHUNK_S
from appliance.bench.costumes import COSTUMES, Costume
from appliance.bench.dialects import dialled, talk

STAYS = 0.8
"""The share that stays to the end."""
PATIENCE_S = 60.0
"""For one visit; an overloaded box is slow, but a session that never ends is a failure."""
PAUSE_S = 1.0
"""Before one that was refused tries again."""


class Visitors:
    """``seen`` counts what became of the visits: (dialect, outcome)."""

    def __init__(self, url: str, audio: bytes) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self._url, self._audio = url, audio
        self._chance = random.Random(0)

    def total(self, outcome: str) -> int:
        """Over all dialects."""
        return sum(count for (_, what), count in self.seen.items() if what == outcome)

    async def come(self, until: float) -> None:
        """One after the other until that time of the monotonic clock; each in a dialect that chance chooses."""
        while time.monotonic() < until:
            costume = self._chance.choice(COSTUMES)
            outcome = await self._visit(costume)
            self.seen[costume.name, outcome] += 1
            if outcome in ("refused", "cut off"):
                await asyncio.sleep(PAUSE_S)

    async def _visit(self, costume: Costume) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._chance.random() < STAYS:
                    return "served" if (await talk(self._url, costume, self._audio)).finals else "not heard"
                return await self._leave(costume, self._chance.random() * 3, vanish=self._chance.random() < 0.5)
        except InvalidStatus:
            return "refused"
        except ConnectionClosed:
            return "cut off"

    async def _leave(self, costume: Costume, after_s: float, *, vanish: bool) -> str:
        """Hang up as the protocol has it, or without a word."""
        async with dialled(self._url, costume) as socket:
            for message in costume.first:
                await socket.send(message)
            for start in range(0, int(after_s / CHUNK_S) * CHUNK, CHUNK):
                await asyncio.sleep(CHUNK_S)
                await socket.send(costume.wrap(self._audio[start : start + CHUNK]))
            if vanish:
                socket.transport.abort()
        return "vanished" if vanish else "hung up"
