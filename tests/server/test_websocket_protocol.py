"""The WebSocket protocol over a real socket, with an application that takes every message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from appliance.server import listening, websocket_protocol
from appliance.server.websocket_protocol import CONTROL_BURST, FRAGMENTS
from tests.attacks.client import upgrade
from tests.box import run

Application = Callable[[WebSocket], Coroutine[Any, Any, None]]


async def counting(socket: WebSocket) -> None:
    """Answers each message with its length."""
    await socket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") if message.get("bytes") is not None else message["text"].encode()
            await socket.send_text(str(len(data)))


async def refusing(socket: WebSocket) -> None:
    """Closes at once, and takes nothing."""
    await socket.accept()
    await socket.close(1008, "no")


async def filling(socket: WebSocket) -> None:
    """Sends more than a client that does not read can be sent."""
    await socket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_bytes(bytes(1 << 16))


@contextlib.asynccontextmanager
async def listener(application: Application) -> AsyncIterator[tuple[listening.Server, int]]:
    """The server of this application, and its port."""
    door = listening.listen("127.0.0.1", 0)
    server = listening.Server(Starlette(routes=[WebSocketRoute("/", application)]), None, 1 << 20)
    before, listening.TICK_S = listening.TICK_S, 0.01
    work = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield server, door.getsockname()[1]
    finally:
        server.should_exit = True
        await work
        listening.TICK_S = before


@contextlib.asynccontextmanager
async def serving(application: Application) -> AsyncIterator[ClientConnection]:
    """A client of this application."""
    async with (
        listener(application) as (_, port),
        connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as client,
    ):
        yield client


async def closed(client: ClientConnection) -> int:
    """The code of the close that the server sends."""
    with pytest.raises(ConnectionClosed):
        while True:
            await client.recv()
    assert client.close_code is not None
    return client.close_code


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 4096, 100_000])
def test_message_of_any_size_taken_whole(size: int) -> None:
    async def work() -> None:
        async with serving(counting) as client:
            for _ in range(3):
                await client.send(bytes(size))
            assert [await client.recv() for _ in range(3)] == [str(size)] * 3

    run(work)


def test_messages_many_at_once_all_taken_in_order() -> None:
    async def work() -> None:
        async with serving(counting) as client:
            sending = asyncio.create_task(_each(client, [bytes(size) for size in range(2000)]))
            assert [await client.recv() for _ in range(2000)] == [str(size) for size in range(2000)]
            await sending

    run(work)


async def _each(client: ClientConnection, messages: list[bytes]) -> None:
    for message in messages:
        await client.send(message)


@pytest.mark.parametrize(("fragments", "code"), [(FRAGMENTS, None), (FRAGMENTS + 1, 1009)])
def test_message_of_fragments_taken_up_to_the_bound(fragments: int, code: int | None) -> None:
    async def work() -> None:
        async with serving(counting) as client:
            frames = [Frame(Opcode.BINARY, b"x", False), *[Frame(Opcode.CONT, b"x", False)] * (fragments - 2)]
            raw = b"".join(frame.serialize(mask=True) for frame in [*frames, Frame(Opcode.CONT, b"x", True)])
            client.transport.write(raw)
            if code is None:
                assert await client.recv() == str(fragments)
            else:
                assert await closed(client) == code

    run(work)


def test_text_not_utf8_closed_with_1007(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with serving(counting) as client:
            await client.send(b"\xff\xfe", text=True)
            assert await closed(client) == 1007

    run(work)
    assert not [record for record in caplog.records if record.exc_info]


def test_pings_more_than_the_bound_closed_with_1008() -> None:
    async def work() -> None:
        async with serving(counting) as client:
            with contextlib.suppress(ConnectionClosed):
                for number in range(2 * CONTROL_BURST):
                    await client.ping(str(number))
            assert await closed(client) == 1008

    run(work)


def test_ping_answered() -> None:
    async def work() -> None:
        async with serving(counting) as client:
            await (await client.ping("x"))

    run(work)


def test_close_by_the_server_answered_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client's close being read, the end would come with the deadline only."""
    monkeypatch.setattr(websocket_protocol, "HANG_UP_S", 3600.0)

    async def work() -> None:
        async with serving(refusing) as client:
            assert await closed(client) == 1008
            await client.wait_closed()

    run(work, 10)


def test_close_not_answered_socket_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "HANG_UP_S", 0.05)

    async def work() -> None:
        async with listener(refusing) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(upgrade("/"))
            assert (await reader.read()).startswith(b"HTTP/1.1 101")  # and ends
            writer.close()

    run(work, 10)


def test_message_before_the_answer_kept() -> None:
    """A client should wait for the answer (RFC 6455, 4.1); what one that does not sends is read once it is accepted."""

    async def work() -> None:
        async with listener(counting) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(upgrade("/") + Frame(Opcode.BINARY, bytes(5000)).serialize(mask=True))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(6) == b"\x81\x045000"
            writer.close()

    run(work)


def test_pings_while_writing_is_paused_last_one_answered() -> None:
    async def work() -> None:
        async with listener(filling) as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(upgrade("/"))
            await reader.readuntil(b"\r\n\r\n")
            while not (protocols := [each for each in server.server_state.connections if hasattr(each, "writable")]):
                await asyncio.sleep(0)
            (protocol,) = protocols
            while protocol.writable.is_set():
                await asyncio.sleep(0)
            before = protocol.transport.get_write_buffer_size()
            for number in range(100):
                writer.write(Frame(Opcode.PING, f"{number:03}".encode()).serialize(mask=True))
            while protocol._pong is None or not protocol._pong.endswith(b"099"):
                await asyncio.sleep(0)
            grown = protocol.transport.get_write_buffer_size() - before
            assert grown < 100 * len(protocol._pong)  # some may go before the kernel's buffers are full
            writer.transport.abort()

    run(work, 30)
