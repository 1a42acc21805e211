"""A worker at rest after many short sessions: without streams there is no noise to hide a leak. ``make soak``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.core.events import AnyEvent, Closed
from appliance.core.options import SessionOptions
from appliance.scheduling.link import WorkerLink
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.scheduling.settings import Settings
from tests.box import kiosk, run
from tests.soak.slope import slope
from tests.speech import spoken

AT_ONCE = 4
ROUNDS, SESSIONS = 30, 60
"""Half a minute to a minute in all."""
WARM_UP = 10
"""Rounds."""
LEAST = 256
"""Bytes a session that count as a leak: 32 MiB a day at the churn of the soak."""


@pytest.mark.soak
def test_a_worker_at_rest_keeps_nothing_of_its_sessions() -> None:
    audio = spoken("enter")
    own: list[float] = []

    async def session(pool: Pool) -> WorkerLink:
        over = asyncio.Event()

        def told(event: AnyEvent) -> None:
            if isinstance(event, Closed):
                over.set()

        live = pool.open(SessionOptions(), told)
        live.push(audio)
        live.finish()
        worker = live.worker
        await over.wait()
        assert worker is not None
        return worker

    async def work() -> None:
        plan = Plan(models=(kiosk(),), detector="silero")
        pool = Pool(plan, Settings(workers=1, streams=AT_ONCE, recycle_after=ROUNDS * SESSIONS * 2))
        await pool.start()
        try:
            for _ in range(ROUNDS):
                for _ in range(SESSIONS // AT_ONCE):
                    (worker,) = set(await asyncio.gather(*(session(pool) for _ in range(AT_ONCE))))
                while worker.waiting_since is not None:  # until it has said that they are gone
                    await asyncio.sleep(0.001)
                own.append(_own_bytes(worker))
        finally:
            await pool.close()

    run(work, limit_s=600)
    counts = [float(number * SESSIONS) for number in range(WARM_UP, ROUNDS)]
    found = slope(counts, own[WARM_UP:])
    print(f"\n{own[0] / 1024:.0f} to {own[-1] / 1024:.0f} KiB; {found.low:+.0f} to {found.high:+.0f} bytes a session")
    assert found.high < LEAST


def _own_bytes(worker: WorkerLink) -> float:
    return 1024 * float(Path(f"/proc/{worker.pid}/status").read_text().partition("RssAnon:")[2].split()[0])
