"""Clients of the native protocol, for measuring: they pace audio by the clock and note when what came back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import connect

from appliance.bench.corpus import BYTES_PER_SECOND

CHUNK_S = 0.1
CHUNK = int(BYTES_PER_SECOND * CHUNK_S)


class Heard(Struct):
    """The text of one stream, and for each final that ended by silence how many seconds it came beyond that silence."""

    text: str
    delays: list[float]


async def stream(url: str, audio: bytes, *, paced: bool, silence_ms: int = 700) -> Heard:
    """One stream, 100 ms a message, in real time or as fast as the box takes it."""
    query = f"key=bench&silence_to_end_ms={silence_ms}"
    heard = Heard("", [])
    texts: list[str] = []
    async with connect(f"ws{url[4:]}/v1/stream?{query}", compression=None, max_queue=None) as socket:
        began = time.monotonic()

        async def listen() -> None:
            ended = 0.0
            async for message in socket:
                event: dict[str, Any] = json.loads(message)
                if event["type"] == "speech_ended":
                    ended = event["at"]
                elif event["type"] == "final":
                    texts.append(event["text"])
                    if event["cause"] == "silence":
                        heard.delays.append(time.monotonic() - began - ended - silence_ms / 1000)

        listening = asyncio.create_task(listen())
        sent = 0.0
        for start in range(0, len(audio), CHUNK):
            sent += CHUNK_S
            if paced:  # a chunk can be sent when its last sample has been spoken
                await asyncio.sleep(began + sent - time.monotonic())
            await socket.send(audio[start : start + CHUNK])
        await socket.send('{"type": "finish"}')
        await listening
    heard.text = " ".join(texts)
    return heard


async def streams(url: str, audio: Sequence[bytes], *, paced: bool = True, silence_ms: int = 700) -> list[Heard]:
    """Several at once, their starts spread over a second."""

    async def one(number: int, piece: bytes) -> Heard:
        await asyncio.sleep(number / len(audio))
        return await stream(url, piece, paced=paced, silence_ms=silence_ms)

    return await asyncio.gather(*(one(number, piece) for number, piece in enumerate(audio)))


async def speech_ends(url: str, audio: bytes, silence_ms: int = 700) -> list[float]:
    """When speech ends in this audio, in seconds from its beginning, as the box hears it."""
    ends: list[float] = []
    query = f"key=bench&silence_to_end_ms={silence_ms}"
    async with connect(f"ws{url[4:]}/v1/stream?{query}", compression=None, max_queue=None) as socket:
        await socket.send(audio)
        await socket.send('{"type": "finish"}')
        async for message in socket:
            event: dict[str, Any] = json.loads(message)
            if event["type"] == "speech_ended":
                ends.append(event["at"])
    return ends
