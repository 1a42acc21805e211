"""How late the event loop is: the one figure that says whether it computes."""

from __future__ import annotations

import asyncio
from collections import deque

PERIOD_S = 0.2
KEEP = 600
"""Samples kept: the last two minutes."""


class LagMeter:
    """Sleeps and sees how much too late it wakes."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEEP)

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self._late.append(max(0.0, clock() - due))

    def percentile(self, share: float) -> float:
        """Seconds of lag that ``share`` (0 to 1) of the last two minutes' samples stay within."""
        late = sorted(self._late)
        return late[min(len(late) - 1, int(share * len(late)))] if late else 0.0
