"""What becomes of sessions when processes cannot be had, and when the template dies: words, or an end with a reason."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.core.events import Closed
from appliance.core.options import SessionOptions
from appliance.core.problems import Kind, Problem, Refused
from appliance.scheduling import crew, launcher
from appliance.scheduling import pool as pools
from appliance.scheduling.ease import Level
from appliance.scheduling.pool import Pool
from tests.box import fake, run
from tests.scheduling.test_pool import TALK, Client, alone, pool, until
from tests.speech import tone

ROOT = Path(__file__).parents[2]

Forks = Callable[[str], None]

FORKS_FAIL = f"""#!{sys.executable}
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from appliance.scheduling import template
fork = os.fork
def failing():
    if os.path.exists(sys.argv[0] + ".full"):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    if os.path.exists(sys.argv[0] + ".deadly"):
        os._exit(1)
    return fork()
os.fork = failing
sys.argv[1:4] = []  # -P -m MODULE
template.main()
"""


@pytest.fixture
def forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forks:
    """From now on the template's forks succeed ("", as they do at first), fail ("full") or kill it ("deadly")."""
    script = tmp_path / "template"
    script.write_text(FORKS_FAIL)
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(pools, "AGAIN_S", 0.01)

    def switch(fate: str) -> None:
        for old in tmp_path.glob("template.*"):
            old.unlink()
        if fate:
            (tmp_path / f"template.{fate}").touch()

    return switch


def template(made: Pool) -> asyncio.subprocess.Process:
    process = made._launcher._process
    assert process is not None
    return process


async def end(client: Client) -> Problem | None:
    """The problem its session ended with."""
    await client.until(lambda: bool(client.events) and isinstance(client.events[-1], Closed))
    last = client.events[-1]
    assert isinstance(last, Closed)
    return last.problem


def test_a_fork_that_fails_ends_its_session_and_not_the_template(forks: Forks) -> None:
    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            before, there = template(made).pid, Client(made)
            there.session.push(TALK[:32_000])
            await there.worker()
            forks("full")
            client = Client(made)
            client.session.push(tone(0.5))
            assert await end(client) == Problem(Kind.ENGINE_FAILED, "no process can be had")
            assert (made.crashes, made.budget.open, template(made).pid) == (0, 1, before)
            there.session.push(TALK[32_000:])
            assert await there.finished() == alone(fake(), TALK)
            forks("")
            again = Client(made)
            pid = await again.worker()
            assert pid in made._launcher.children
            assert not made._launcher._asked, "every request has had its answer"
            assert await again.finished() == []

    run(work)


def test_forks_that_succeed_again_cost_a_delay_and_nothing_else(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "AGAIN_S", 0.5)

    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            forks("full")
            client = Client(made)
            client.session.push(TALK)
            await until(lambda: client.session.worker is None)
            forks("")
            assert await client.finished() == alone(fake(), TALK)
            assert made.crashes == 0

    run(work)


def test_a_session_takes_a_worker_that_is_there_when_none_can_be_forked(forks: Forks) -> None:
    async def work() -> None:
        async with pool(workers=2) as made:
            first = Client(made)
            await first.worker()
            forks("full")
            second = Client(made)
            assert second.session.worker is not first.session.worker
            second.session.push(TALK)
            assert await second.finished() == alone(fake(), TALK)
            assert await first.finished() == []
            assert made.crashes == 0

    run(work)


def test_a_worker_that_was_never_born_is_no_crash() -> None:
    """The template dies with a request unanswered, and a session that has just lost its worker goes on all the same."""

    async def work() -> None:
        async with pool(workers=1) as made:
            client = Client(made)
            pid = await client.worker()
            first = client.session.worker
            os.kill(pid, signal.SIGSTOP)
            client.session.push(TALK)  # so something is outstanding
            template(made).send_signal(signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: client.session.worker is not first)
            template(made).kill()
            assert await client.finished() == alone(fake(), TALK)
            assert made.crashes == 1

    run(work)


def test_a_template_that_dies_of_every_request_ends_the_session(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "RESTART_S", 0.01)

    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            forks("deadly")
            assert await end(Client(made)) == Problem(Kind.ENGINE_FAILED, "no process can be had")
            assert made.crashes == 0

    run(work)


def test_when_the_template_is_given_up_who_waits_for_a_worker_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launcher, "RESTART_S", 0.01)
    monkeypatch.setattr(pools, "AGAIN_S", 0.01)

    async def work() -> None:
        async with pool(workers=1) as made:
            client = Client(made)
            client.session.push(TALK[:32_000])
            pid = await client.worker()
            monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
            template(made).kill()
            os.kill(pid, signal.SIGKILL)
            problem = await end(client)
            assert problem is not None
            assert problem.kind is Kind.ENGINE_FAILED
            assert problem.detail == f"no process can be had: {launcher.GIVEN_UP}"
            assert made.budget.open == 0
            with pytest.raises(Refused, match="dies again and again"):
                Client(made)

    run(work)


def test_a_model_that_is_gone_when_the_template_starts_again_is_named(tmp_path: Path) -> None:
    """What was loaded goes on; what needs it loaded again ends."""
    spec = fake()

    async def work() -> None:
        async with pool(spec) as made:
            client = Client(made)
            pid = await client.worker()
            made._launcher._plan = type(made.plan)(models=(), detector="energy")
            made._launcher.models.clear()
            template(made).kill()
            await template(made).wait()
            client.session.push(TALK)
            os.kill(pid, signal.SIGKILL)
            assert await end(client) == Problem(Kind.ENGINE_FAILED, "fake-en could not be loaded again")

    run(work)


def test_orphans_of_a_dead_template_end_even_if_they_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "END_S", 30.0)

    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            hangs, ends = Client(made), Client(made)
            pid, other = await hangs.worker(), await ends.worker()
            children = made._launcher.children
            process = template(made)
            process.kill()
            await process.wait()
            await until(lambda: template(made) is not process and made._launcher.ready.is_set())
            assert pid in children
            ends.session.close()
            await until(lambda: other not in children)
            os.kill(pid, signal.SIGSTOP)
            monkeypatch.setattr(crew, "END_S", 0.0)
            hangs.session.close()
            await until(lambda: pid not in children)
            made._crew.look_after(60.0)
            assert pid not in made._crew._dismissed
            for worker in list(made.workers):
                made._crew.dismiss(worker)
            monkeypatch.setattr(crew, "END_S", 30.0)
            async with asyncio.timeout(20.0):
                await made.close()

    run(work)


def test_who_was_stopped_with_the_daemon_is_not_killed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "FROZEN_S", 0.3)
    monkeypatch.setattr(pools, "TICK_S", 0.05)

    async def work() -> None:
        async with pool(workers=1, hang_s=2.0) as made:
            client = Client(made)
            pid = await client.worker()
            client.session.push(tone(0.5))
            await until(lambda: not client.session.outstanding)
            os.kill(pid, signal.SIGSTOP)
            client.session.push(TALK[len(tone(0.5)) :])
            await asyncio.sleep(0.1)
            time.sleep(2.5)  # noqa: ASYNC251 - the daemon is stopped as well
            asyncio.get_running_loop().call_later(0.2, os.kill, pid, signal.SIGCONT)
            await client.finished()
            assert (made.hangs, made.crashes) == (0, 0)

    run(work)


def test_a_worker_that_died_is_no_lack_of_processor() -> None:
    """What is late because there is no new worker yet does not count; what is late in the end does."""

    async def work() -> None:
        async with pool(fake(hang_on=12_345), workers=1, hang_s=60.0) as made:
            client = Client(made)
            client.session.push(tone(1.0))
            await until(lambda: client.session.journal.consumed == 32_000)
            pid, first = await client.worker(), client.session.worker
            template(made).send_signal(signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: client.session.worker is not first)
            client.session.push(tone(0.5))
            later = asyncio.get_running_loop().time() + 5.0
            assert client.session.lag.late_s(later) > 3.0
            assert [made._left_over_s(later) for _ in range(2)] == [0.0, 0.0]
            template(made).send_signal(signal.SIGCONT)
            await until(lambda: client.session.journal.consumed == 48_000)
            client.session.push(tone(0.5, marker=12_345))
            later = asyncio.get_running_loop().time() + 5.0
            made._left_over_s(later)
            assert made._left_over_s(later) > 3.0

    run(work)


def test_an_empty_box_gives_nothing_up() -> None:
    async def work() -> None:
        async with pool() as made:
            made.reserve([SessionOptions()])
            client = Client(made)
            for second in range(20):
                made._ease.observe(9.0, float(second))
            made.budget.closed = pools.FALLING_BEHIND
            assert made.ease is Level.REFUSING
            made._adapt()
            assert made.ease is Level.REFUSING
            client.session.close()
            made._adapt()
            assert made.ease == 0
            assert made.budget.closed == ""
            assert [Client(made).session.alive for _ in range(2)] == [True, True]

    run(work)


def test_a_worker_that_died_with_nobody_in_it_is_said_to_have_died(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with pool(workers=1) as made:
            client = Client(made)
            pid = await client.worker()
            assert await client.finished() == []
            os.kill(pid, signal.SIGKILL)
            await until(lambda: made.crashes == 1)
            assert f"worker {pid} died\n" in caplog.text

    run(work)
