"""What clients should not do, over real sockets: each ends in a defined way, and the box goes on serving."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.daemon import Daemon
from appliance.server import conversation
from tests.box import box, fake, run, url
from tests.speech import silence, tone

HEADERS = {"x-api-key-id": "any", "lang_code": "en-IN", "x-sample-rate": "16000"}
TALK = tone(1.3) + silence(0.8)
HEARD = "one two three four five"
"""What the fake makes of it: a word for every 0.3 s of tone and hangover."""
FAST: dict[str, Any] = {"recognizer": {"detector": "energy"}}


@asynccontextmanager
async def client(
    daemon: Daemon, path: str = "/stt/v3/stream", **headers: str | None
) -> AsyncIterator[ClientConnection]:
    """A plain WebSocket client; a header given as None is left out."""
    sent = {name: value for name, value in {**HEADERS, **headers}.items() if value is not None}
    async with connect(url(daemon, "ws") + path, additional_headers=sent, compression=None) as connection:
        yield connection


async def until(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message: dict[str, Any] = json.loads(await connection.recv())
        if message["type"] == kind:
            return message


async def serves(daemon: Daemon) -> bool:
    """The box still does its job."""
    async with client(daemon) as connection:
        await until(connection, "connected")
        await connection.send(TALK)
        return (await until(connection, "transcript"))["text"] == HEARD


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"x-api-key-id": None}, 401, "An API key is required"),
        ({"x-api-key-id": "  "}, 401, "An API key is required"),
    ],
)
def test_refused_before_the_upgrade(headers: dict[str, str | None], status: int, message: str) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            with pytest.raises(InvalidStatus) as refused:
                async with client(daemon, **headers):
                    pass
            assert refused.value.response.status_code == status
            assert json.loads(refused.value.response.body or b"")["message"].startswith(message)

    run(work)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"lang_code": "xx-YY"}, "xx-YY"),
        ({"lang_code": "hi-IN"}, "appliance models install vosk-model-small-hi-0.22"),
        ({"lang_code": "ta-IN"}, "appliance models install faster-whisper-base"),
        ({"lang_code": "hi-IN,gu-IN"}, "hi, gu"),
        ({"x-sample-rate": "0"}, "expected one of 8000, 16000, 44100, 48000"),
        ({"x-sample-rate": "abc"}, "'abc'"),
        ({"x-sample-rate": "11025"}, "'11025'"),
        ({"x-sample-rate": "-16000"}, "'-16000'"),
        ({"x-format": "poem"}, "'poem'"),
    ],
)
def test_refused_in_the_dialects_own_words(headers: dict[str, str | None], words: str) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with client(daemon, **headers) as connection:
                first = json.loads(await connection.recv())
                assert first["type"] == "error"
                assert words in first["message"]
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
                assert connection.close_code == 1008
            assert daemon.pool.budget.open == 0

    run(work)


def test_frames_of_every_size() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await until(connection, "connected")
            sizes = [0, 1, 1023, 1024, 3, 0, 4096, 7]
            at = 0
            while at < len(TALK):
                for size in sizes:
                    await connection.send(TALK[at : at + size])
                    at += size
            assert (await until(connection, "transcript"))["text"] == HEARD

    run(work)


def test_one_frame_of_a_mebibyte() -> None:
    audio = (TALK + silence(40.0))[: 1 << 20]

    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await until(connection, "connected")
            await connection.send(audio)
            assert (await until(connection, "transcript"))["text"] == HEARD

    run(work)


def test_a_message_beyond_the_limit_ends_the_connection_and_nothing_else() -> None:
    """1009; the close message may be lost, because the rest of the oversized one is never read."""

    async def work() -> None:
        settings = {**FAST, "server": {"max_message_bytes": 131_072}}
        async with box(fake(), **settings) as daemon:
            with pytest.raises((ConnectionClosed, ConnectionResetError)):
                async with client(daemon) as connection:
                    await until(connection, "connected")
                    await connection.send(bytes(140_000))
                    await connection.recv()
            while daemon.pool.sessions:
                await asyncio.sleep(0.01)
            assert await serves(daemon)

    run(work)


def test_text_frames_are_ignored() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await until(connection, "connected")
            for text in ("", "hello", '{"type":"stop"}', "\u0000", "{" * 1000):
                await connection.send(text)
            await connection.send(TALK)
            assert (await until(connection, "transcript"))["text"] == HEARD

    run(work)


def test_a_client_that_vanishes_in_mid_word_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with client(daemon) as connection:
                await until(connection, "connected")
                await connection.send(tone(0.5))
                await until(connection, "speech_start")
                connection.transport.abort()
            while daemon.pool.sessions or len(daemon._service.sessions):
                await asyncio.sleep(0.01)
            assert daemon.pool.budget.open == 0
            assert await serves(daemon)

    run(work)


def test_ten_minutes_at_once_are_all_heard() -> None:
    """Six hundred seconds in one go: more than the inbox; the client waits, nothing is lost."""
    minute = (tone(1.28) + silence(0.72)) * 30

    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await until(connection, "connected")

            async def send() -> None:
                for _ in range(10):
                    for start in range(0, len(minute), 32_000):
                        await connection.send(minute[start : start + 32_000])

            sending = asyncio.create_task(send())
            texts = [(await until(connection, "transcript"))["text"] for _ in range(300)]
            assert {len(text.split()) for text in texts} <= {5, 6}
            await sending

    run(work, 120)


def test_a_client_that_never_reads_is_dropped_and_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends for ever and reads nothing: its unread messages are bounded, then it is hung up on."""
    monkeypatch.setattr(conversation, "OUTBOX_BYTES", 100_000)

    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            assert daemon.bound is not None
            loop = asyncio.get_running_loop()
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            await loop.sock_connect(raw, daemon.bound)
            path = "/v1/stream?key=any&min_speech_ms=32&silence_to_end_ms=96&hangover_ms=96&partial_ms=0&threshold=0.5"
            upgrade = (
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await loop.sock_sendall(raw, upgrade.encode())
            assert (await loop.sock_recv(raw, 1024)).startswith(b"HTTP/1.1 101")
            piece = (tone(0.32) + silence(0.32)) * 50
            frame = b"\x82\xff" + len(piece).to_bytes(8, "big") + bytes(4) + piece

            async def flood() -> None:
                while True:
                    await loop.sock_sendall(raw, frame)

            flooding = asyncio.create_task(flood())
            while not len(daemon._service.sessions):
                await asyncio.sleep(0.01)
            (victim,) = daemon._service.sessions._live.values()
            while daemon.pool.sessions:
                await asyncio.sleep(0.05)
                assert victim._unread <= 110_000
            assert await serves(daemon)
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            raw.close()

    run(work, 60)


def test_two_hundred_at_once() -> None:
    """As many as fit are served, all others are told so at once."""

    async def work() -> None:
        async with box(fake(), **FAST, scheduling={"streams": 20}) as daemon:

            async def one() -> str:
                try:
                    async with client(daemon) as connection:
                        await until(connection, "connected")
                        await connection.send(TALK)
                        text: str = (await until(connection, "transcript"))["text"]
                        await asyncio.sleep(2.0)  # hold the place until everyone has asked
                        return text
                except InvalidStatus as refused:
                    assert refused.response.status_code == 429
                    return "refused"

            results = await asyncio.gather(*(one() for _ in range(200)))
            assert results.count(HEARD) == 20
            assert results.count("refused") == 180
            assert await serves(daemon)

    run(work)


def test_not_a_websocket_not_a_path() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            with pytest.raises(InvalidStatus) as refused:
                async with client(daemon, "/stt/v4/stream"):
                    pass
            assert refused.value.response.status_code in (403, 404)

    run(work)
