"""Reading ahead, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.server import inbound
from appliance.server.inbound import Inbound
from tests.box import run

GONE = {"type": "websocket.disconnect"}


def audio(size: int = 1) -> dict[str, Any]:
    return {"type": "websocket.receive", "bytes": bytes(size)}


class Socket:
    """What a client sends; ``asked`` is how many messages were received."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = 0
        for message in messages:
            self.queue.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        message = await self.queue.get()
        self.asked += 1
        return message


def test_wait_until_room_keeps_messages_in_order() -> None:
    async def work() -> None:
        socket, room = Socket(audio(1), audio(2)), asyncio.Event()
        reading = Inbound(socket.receive)
        waiting = asyncio.create_task(reading.wait(wait(room)))
        while socket.asked < 2:
            await asyncio.sleep(0)
        room.set()
        assert await waiting
        socket.queue.put_nowait(audio(3))
        socket.queue.put_nowait(GONE)
        assert [len((await reading.next())["bytes"]) for _ in range(3)] == [1, 2, 3]
        assert await reading.next() == GONE

    run(work)


def test_wait_returns_false_when_the_client_goes() -> None:
    async def work() -> None:
        socket = Socket(audio(1), {"type": "websocket.receive", "text": "abc"}, GONE)
        reading = Inbound(socket.receive)
        assert not await reading.wait(wait(asyncio.Event()))
        assert [inbound._size(message) for message in reading.rest()] == [1, 3]

    run(work)


@pytest.mark.parametrize(("name", "limit"), [("AHEAD_BYTES", 100), ("AHEAD_MESSAGES", 10)])
def test_wait_at_the_limit_reads_no_further(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(inbound, name, limit)

    async def work() -> None:
        socket, room = Socket(*[audio(10)] * 20), asyncio.Event()
        reading = Inbound(socket.receive)
        waiting = asyncio.create_task(reading.wait(wait(room)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert (socket.asked, waiting.done()) == (10, False)
        room.set()
        assert await waiting
        for _ in range(20):
            await reading.next()
        assert (socket.asked, reading._bytes) == (20, 0)

    run(work)


def test_close_ends_the_pending_receive() -> None:
    async def work() -> None:
        socket, room = Socket(), asyncio.Event()
        reading = Inbound(socket.receive)
        waiting = asyncio.create_task(reading.wait(wait(room)))
        await asyncio.sleep(0)
        room.set()
        assert await waiting
        pending = reading._pending
        assert pending is not None
        reading.close()
        await asyncio.wait({pending})
        assert pending.cancelled()

    run(work)


async def wait(room: asyncio.Event) -> None:
    await room.wait()
