from __future__ import annotations

import asyncio
import os
import signal

from appliance.scheduling.children import Children
from tests.box import run


def sleeper() -> int:
    """A process that sleeps until it is killed."""
    return os.posix_spawnp("sleep", ["sleep", "300"], os.environ)


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def test_their_end_is_seen_without_their_parent() -> None:
    """Nobody reaps them meanwhile, as when the template hangs or is dead."""

    async def work() -> None:
        children, pid = Children(), sleeper()
        children.add(pid)
        assert pid in children
        assert list(children) == [pid]
        await children.ended(0.01)
        assert pid in children
        children.kill(pid)
        await children.ended(30.0)
        assert pid not in children
        reap(pid)
        children.kill(pid)  # it may be somebody else's number now
        children.close()

    run(work)


def test_a_number_that_is_used_again_is_another_process() -> None:
    async def work() -> None:
        children, pid = Children(), sleeper()
        children.add(pid)
        children.add(pid)
        assert list(children) == [pid]
        os.kill(pid, signal.SIGKILL)
        await children.ended(30.0)
        assert list(children) == []
        reap(pid)
        children.close()

    run(work)


def test_one_that_has_gone_already_is_none() -> None:
    async def work() -> None:
        children, pid = Children(), sleeper()
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        children.add(pid)
        assert list(children) == []
        async with asyncio.timeout(5.0):
            await children.ended(30.0)

    run(work)
