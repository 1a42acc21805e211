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
    """Messages that one stream received, with times in seconds since its first sample by the client's clock."""

    finals: list[str] = []
    final_words: list[list[dict[str, Any]]] = []
    """Words of each final, as the native protocol has them."""
    final_at: list[float] = []
    partials: list[tuple[float, int, list[dict[str, Any]]]] = []
    """Time, number of the final that will follow, words."""
    delays: list[float] = []
    """For each final that ended by silence, how many seconds it came beyond that silence."""

    @property
    def text(self) -> str:
        """All finals as one text."""
        return " ".join(self.finals)

    @property
    def words(self) -> list[dict[str, Any]]:
        """The words of all finals."""
        return [word for words in self.final_words for word in words]


async def stream(url: str, audio: bytes, *, paced: bool, silence_ms: int = 700, partial_ms: int = 250) -> Heard:
    """One stream, 100 ms a message, in real time or as fast as the device takes it."""
    query = f"key=bench&silence_to_end_ms={silence_ms}&partial_ms={partial_ms}"
    heard = Heard()
    async with connect(f"ws{url[4:]}/v1/stream?{query}", compression=None, max_queue=None) as socket:
        began = time.monotonic()

        async def listen() -> None:
            ended = 0.0
            async for message in socket:
                event: dict[str, Any] = json.loads(message)
                if event["type"] == "speech_ended":
                    ended = event["at"]
                elif event["type"] == "partial":
                    heard.partials.append((time.monotonic() - began, len(heard.finals), event["words"]))
                elif event["type"] == "final":
                    heard.finals.append(event["text"])
                    heard.final_words.append(event["words"])
                    heard.final_at.append(time.monotonic() - began)
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
    return heard


async def streams(
    url: str, audio: Sequence[bytes], *, paced: bool = True, silence_ms: int = 700, partial_ms: int = 250
) -> list[Heard]:
    """Several at once, their starts spread over a second."""

    async def one(number: int, piece: bytes) -> Heard:
        await asyncio.sleep(number / len(audio))
        return await stream(url, piece, paced=paced, silence_ms=silence_ms, partial_ms=partial_ms)

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
