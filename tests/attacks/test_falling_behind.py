"""New clients while the device falls behind: they are refused, and cost no waiting session its resumption."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from appliance.scheduling.pool import FALLING_BEHIND
from tests.box import box, fake, run
from tests.server.test_sessions import FAST, client, ended, resumed, until


@pytest.mark.parametrize("scheduling", [{}, {"streams": 3}])
def test_clients_refused_while_falling_behind_end_no_session(scheduling: dict[str, Any]) -> None:
    async def work() -> None:
        async with box(fake(), scheduling=scheduling, **FAST) as daemon, client(daemon, key="other") as there:
            await until(there, "SessionBegins")
            begun = []
            for _ in range(2):
                async with client(daemon) as socket:
                    begun.append(await until(socket, "SessionBegins"))
            while len(daemon._service.sessions._waiting) < 2:
                await asyncio.sleep(0.01)
            daemon.pool.budget.closed = FALLING_BEHIND
            for _ in range(3):
                async with client(daemon, key="newcomer") as socket:
                    assert not [said for said in (await ended(socket))[1] if "session_id" in said]
            assert len(daemon._service.sessions._waiting) == 2
            for each in begun:
                async with client(daemon, resumed(each)) as socket:
                    assert (await until(socket, "SessionBegins"))["session_id"] == each["session_id"]

    run(work, 20)


def test_client_for_whom_no_room_can_be_made_ends_no_session() -> None:
    """One stream of the costly model does not fit even when the cheap one that waits has ended."""

    async def work() -> None:
        cheap, costly = fake("en"), fake("hi")
        async with box(cheap, costly, **FAST) as daemon:
            daemon.pool.price({"fake-en": daemon.pool.budget.limit * 0.3, "fake-hi": daemon.pool.budget.limit * 0.9})
            async with client(daemon, key="other") as there:
                await until(there, "SessionBegins")
                async with client(daemon) as socket:
                    begun = await until(socket, "SessionBegins")
                while not daemon._service.sessions._waiting:
                    await asyncio.sleep(0.01)
                with pytest.raises(InvalidStatus):
                    async with client(daemon, "/v1/stream?key=newcomer&language=hi"):
                        pass
                async with client(daemon, resumed(begun)) as socket:
                    assert (await until(socket, "SessionBegins"))["session_id"] == begun["session_id"]

    run(work, 20)
