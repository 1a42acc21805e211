"""A template process that was stopped: streams that need a worker go on in a successor."""

from __future__ import annotations

import os
import signal

import pytest

from appliance.scheduling import launcher
from appliance.scheduling import pool as pools
from tests.box import fake, run
from tests.scheduling.test_losses import template
from tests.scheduling.test_pool import TALK, Client, alone, pool, until

ANSWER_S = 1.0


def test_stopped_template_is_replaced_and_the_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "ANSWER_S", ANSWER_S, raising=False)
    monkeypatch.setattr(launcher, "RESTART_S", 0.01)
    monkeypatch.setattr(pools, "TICK_S", 0.1)

    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            before = template(made)
            before.send_signal(signal.SIGSTOP)
            client = Client(made)
            client.session.push(TALK)
            assert await client.finished() == alone(fake(), TALK)
            assert template(made).pid != before.pid
            assert made.crashes == 0

    run(work, 40)


def test_template_stopped_while_it_loads_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "LOAD_S", 4.0, raising=False)
    monkeypatch.setattr(launcher, "RESTART_S", 0.01)
    monkeypatch.setattr(pools, "TICK_S", 0.1)

    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            first = template(made)
            first.kill()
            await until(lambda: template(made) is not first)
            stopped = template(made).pid
            os.kill(stopped, signal.SIGSTOP)
            client = Client(made)
            client.session.push(TALK)
            assert await client.finished() == alone(fake(), TALK)
            await until(lambda: made.ready)
            assert template(made).pid != stopped

    run(work, 40)
