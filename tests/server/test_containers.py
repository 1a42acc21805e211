"""Streams that are containers: decoded where a dialect allows them, refused in its own words where it does not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance.media import stream
from tests.box import box, fake, run, url
from tests.media.files import encoded
from tests.server.test_bad_input import FAST, HEARD, TALK, serves
from tests.speech import silence

NATIVE = "/v1/stream?key=any"
SAMPLES = np.frombuffer(TALK + silence(1.0), "<i2")
KINDS = ("webm", "mp4 fragments", "opus", "mp3", "aac", "flac", "mkv")


async def sent(socket: ClientConnection, data: bytes, pieces: int = 20) -> None:
    size = -(-len(data) // pieces)
    for at in range(0, len(data), size):
        await socket.send(data[at : at + size])


async def finals(socket: ClientConnection) -> tuple[list[str], dict[str, Any]]:
    """Return the texts until the connection ends, and the last message."""
    texts, message = [], {}
    try:
        async with asyncio.timeout(20):
            async for raw in socket:
                message = json.loads(raw)
                if message.get("type") == "final":
                    texts.append(message["text"])
    except ConnectionClosed:
        pass
    return texts, message


@pytest.mark.parametrize("kind", KINDS)
def test_stream_container_is_heard_like_pcm(kind: str) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with connect(url(daemon, "ws") + NATIVE) as socket:
                await sent(socket, encoded(SAMPLES, kind, pipe=True))
                await socket.send('{"type": "finish"}')
                texts, last = await finals(socket)
                assert texts == [HEARD], last
                assert last["audio"] == pytest.approx(len(SAMPLES) / 16_000, abs=0.2)
            assert daemon.pool.sessions == {}

    run(work)


def test_stream_container_overrides_the_asked_format() -> None:
    async def work() -> None:
        path = f"{NATIVE}&rate=8000&channels=2&encoding=pcm_mulaw"
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + path) as socket:
            await sent(socket, encoded(SAMPLES, "webm", pipe=True))
            await socket.send('{"type": "finish"}')
            assert (await finals(socket))[0] == [HEARD]

    run(work)


def test_stream_container_final_comes_while_it_arrives() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + NATIVE) as socket:
            await sent(socket, encoded(SAMPLES, "webm", pipe=True))
            async with asyncio.timeout(10):
                while json.loads(await socket.recv()).get("type") != "final":
                    pass

    run(work)


def test_stream_container_sent_at_once_is_heard_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may wait for the decoder, faster than it is recognised: the client has to wait, and is not refused."""

    async def work() -> None:
        monkeypatch.setattr(stream, "WAITING_BYTES", 10_000)
        data = encoded(np.tile(SAMPLES, 12), "flac", pipe=True)
        hurried = {"inbox_s": 1.0}
        async with box(fake(), **FAST, scheduling=hurried) as daemon, connect(url(daemon, "ws") + NATIVE) as socket:
            await sent(socket, data, 50)
            await socket.send('{"type": "finish"}')
            texts, last = await finals(socket)
            assert (len(texts), last["audio"]) == (12, pytest.approx(12 * len(SAMPLES) / 16_000))

    run(work)


def test_stream_container_cut_off_is_heard() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + NATIVE) as socket:
            await sent(socket, encoded(SAMPLES, "webm", pipe=True)[:-300])
            await socket.send('{"type": "finish"}')
            assert (await finals(socket))[0] == [HEARD]

    run(work)


def test_stream_damaged_container_is_an_error() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with connect(url(daemon, "ws") + NATIVE) as socket:
                await socket.send(b"\x1a\x45\xdf\xa3" + bytes(200_000))
                await socket.send('{"type": "finish"}')
                texts, last = await finals(socket)
                assert (texts, last["error"]) == ([], "bad_audio")
            assert daemon.pool.sessions == {}
            assert await serves(daemon)

    run(work)


def test_stream_client_that_goes_leaves_no_decoder() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with connect(url(daemon, "ws") + NATIVE) as socket:
                await sent(socket, encoded(SAMPLES, "webm", pipe=True)[:2_000])
                await asyncio.sleep(0.3)
            async with asyncio.timeout(10):
                while daemon.pool.sessions:
                    await asyncio.sleep(0.05)

    run(work)


@pytest.mark.parametrize(("encoding", "kind"), [("ogg_opus", "opus"), ("aac", "aac")])
def test_stream_assemblyai_encoding_is_decoded(encoding: str, kind: str) -> None:
    async def work() -> None:
        path = f"/v3/ws?encoding={encoding}&sample_rate=48000&token=any"
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + path) as socket:
            await sent(socket, encoded(SAMPLES, kind, pipe=True))
            await socket.send('{"type": "Terminate"}')
            messages = [json.loads(raw) async for raw in socket]
            assert HEARD in [message.get("transcript") for message in messages]
            assert messages[-1]["audio_duration_seconds"] == round(len(SAMPLES) / 16_000)

    run(work)


def test_stream_assemblyai_pcm_named_opus_is_an_error() -> None:
    async def work() -> None:
        path = "/v3/ws?encoding=ogg_opus&token=any"
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + path) as socket:
            await sent(socket, SAMPLES.tobytes(), 10)
            _, last = await finals(socket)
            assert "does not begin with a container" in json.dumps(last)

    run(work)


def base64_json(field: str, **more: Any) -> Callable[[bytes], str]:
    return lambda data: json.dumps({field: base64.b64encode(data).decode(), **more})


def binary(data: bytes) -> bytes:
    return data


CHUNK = {"message_type": "input_audio_chunk", "commit": False, "sample_rate": 16_000}
REFUSING: dict[str, Callable[[bytes], str | bytes]] = {
    "/v3/ws?sample_rate=16000&token=any": binary,
    "/v2/realtime/ws?sample_rate=16000&token=any": base64_json("audio_data"),
    "/stt/websocket?model=ink-whisper&api_key=any": binary,
    "/stt/turns/websocket?model=ink-2&encoding=pcm_s16le&sample_rate=16000&api_key=any": binary,
    "/v1/speech-to-text/realtime?model_id=scribe_v2_realtime": base64_json("audio_base_64", **CHUNK),
    "/vosk": binary,
    "/stt/v3/stream": binary,
}
"""Path of a dialect that takes samples only -> how a client sends audio."""


@pytest.mark.parametrize("path", REFUSING)
def test_stream_container_that_is_refused_is_named(path: str) -> None:
    async def work() -> None:
        keys = {"xi-api-key": "any", "x-api-key-id": "any", "lang_code": "en-IN", "authorization": "any"}
        async with box(fake(), **FAST) as daemon:
            async with connect(url(daemon, "ws") + path, additional_headers=keys) as socket:
                with contextlib.suppress(ConnectionClosed):
                    data = encoded(SAMPLES, "webm", pipe=True)
                    for at in range(0, len(data), 3_200):
                        await socket.send(REFUSING[path](data[at : at + 3_200]))
                texts, last = await finals(socket)
                assert texts == []
                assert "WebM or Matroska" in json.dumps(last) + (socket.close_reason or ""), (last, socket.close_code)
            assert daemon.pool.sessions == {}

    run(work)


def test_stream_mp3_where_samples_are_expected_is_named() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, connect(url(daemon, "ws") + "/vosk") as socket:
            data = encoded(SAMPLES, "mp3", pipe=True)
            await socket.send(data[data.index(b"\xff\xf3") :])
            await finals(socket)
            assert "MP3" in (socket.close_reason or "")

    run(work)
