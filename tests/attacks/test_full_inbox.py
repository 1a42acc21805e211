"""Clients that send far more than is dealt with, and go: their streams end at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.daemon import Daemon
from appliance.scheduling import crew
from tests.box import box, fake, run
from tests.server.test_sessions import FAST, NATIVE, client, resumed, until
from tests.speech import tone

STUCK = 7_777
SLOW: dict[str, Any] = {"inbox_s": 5.0, "hang_s": 600.0}
GONE_S = 2.0
SENT_S = 60.0
"""1.9 MB: more than the inbox, less than is read ahead. The client is ahead of real time, so it is made to wait."""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hung worker need not be given time to end at the end of a test."""
    monkeypatch.setattr(crew, "END_S", 0.2)


def held(daemon: Daemon) -> bool:
    """Whether the one session is made to wait."""
    return all(each._held_since is not None for each in daemon._service.sessions._live.values())


@pytest.mark.parametrize("polite", [True, False])
def test_client_that_goes_with_a_full_inbox_frees_its_stream(polite: bool) -> None:
    async def work() -> None:
        stuck = box(fake(hang_on=STUCK), scheduling=SLOW, server={"drain_s": 0}, **FAST)
        async with stuck as daemon, client(daemon, NATIVE) as socket:
            await until(socket, "begin")
            await socket.send(tone(0.3, marker=STUCK))
            for _ in range(int(SENT_S)):
                await socket.send(tone(1.0))
            while not held(daemon):
                await asyncio.sleep(0.01)
            if not polite:
                await asyncio.sleep(0.1)  # what is written has left this process
                socket.transport.abort()
            async with asyncio.timeout(GONE_S):
                if polite:
                    await socket.close()
                while daemon.pool.budget.open:
                    await asyncio.sleep(0.01)

    run(work, 20)


def test_resumable_session_keeps_what_was_sent_before_the_close() -> None:
    async def work() -> None:
        limits = {"assemblyai_v2": {"fast_s": False}}
        async with box(fake(hang_on=STUCK), scheduling=SLOW, server={"drain_s": 0}, limits=limits, **FAST) as daemon:
            async with client(daemon) as socket:
                begun = await until(socket, "SessionBegins")
                await socket.send(tone(0.3, marker=STUCK))
                for _ in range(int(SENT_S)):
                    await socket.send(tone(1.0))
            async with asyncio.timeout(GONE_S):
                while daemon._service.sessions._live[begun["session_id"]].attached:
                    await asyncio.sleep(0.01)
            (session,) = daemon.pool.sessions.values()
            assert session.journal.received == len(tone(0.3)) + int(SENT_S) * len(tone(1.0))
            async with client(daemon, resumed(begun)) as socket:
                assert (await until(socket, "SessionBegins"))["session_id"] == begun["session_id"]

    run(work, 20)
