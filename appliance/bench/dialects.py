"""What a dialect costs beside the native protocol: processor time, delay, handshakes under load, idle sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance.bench.clients import CHUNK, CHUNK_S
from appliance.bench.costumes import Costume, parsed

LINGER_S = 2.5
"""A client whose protocol has no end waits so long for the last words."""


class Told(Struct):
    """When finals came, in seconds since the first sample was spoken."""

    finals: list[float]


def dialled(url: str, costume: Costume) -> connect:
    """A connection of this dialect, to be awaited or entered."""
    return connect(f"ws{url[4:]}{costume.target}", additional_headers=costume.headers, compression=None, max_queue=None)


async def talk(url: str, costume: Costume, audio: bytes) -> Told:
    """One stream in real time, 100 ms a message."""
    told = Told([])
    async with dialled(url, costume) as socket:
        for message in costume.first:
            await socket.send(message)
        began = time.monotonic()

        async def listen() -> None:
            try:
                async for message in socket:
                    if costume.final(parsed(message)):
                        told.finals.append(time.monotonic() - began)
            except ConnectionClosed:
                pass

        listening = asyncio.create_task(listen())
        sent = 0.0
        for start in range(0, len(audio), CHUNK):
            sent += CHUNK_S
            await asyncio.sleep(began + sent - time.monotonic())
            await socket.send(costume.wrap(audio[start : start + CHUNK]))
        for message in costume.last:
            await socket.send(message)
        if not costume.last:
            await asyncio.sleep(LINGER_S)
            await socket.close()
        await listening
    return told


async def talks(url: str, costume: Costume, audio: bytes, count: int) -> list[Told]:
    """Several at once, their starts spread over a second."""

    async def one(number: int) -> Told:
        await asyncio.sleep(number / count)
        return await talk(url, costume, audio)

    return await asyncio.gather(*(one(number) for number in range(count)))


def delays(told: Sequence[Told], ends: Sequence[float], silence_s: float) -> list[float]:
    """Seconds of each final beyond the silence that ended it; ``ends`` is when speech ended."""
    found = []
    for one in told:
        for at in one.finals:
            before = [end for end in ends if end + silence_s <= at + 0.05]
            if before:
                found.append(at - before[-1] - silence_s)
    return sorted(found)


async def handshakes(url: str, costume: Costume, count: int) -> list[float]:
    """Seconds from dialling to the upgrade, and to the first message where the server speaks first; sorted."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        async with dialled(url, costume) as socket:
            if costume.greets:
                await socket.recv()
            taken.append(time.monotonic() - began)
    return sorted(taken)


async def goodbye(url: str, costume: Costume, audio: bytes) -> float:
    """Seconds from asking for the end, in the middle of speech, to the close of the socket."""
    async with dialled(url, costume) as socket:
        for message in costume.first:
            await socket.send(message)
        began = time.monotonic()
        for number, start in enumerate(range(0, len(audio), CHUNK), 1):
            await asyncio.sleep(began + number * CHUNK_S - time.monotonic())
            await socket.send(costume.wrap(audio[start : start + CHUNK]))
        asked = time.monotonic()
        for message in costume.last:
            await socket.send(message)
        async for _ in socket:
            pass
        return time.monotonic() - asked


async def idlers(url: str, costume: Costume, count: int, stack: AsyncExitStack) -> list[ClientConnection]:
    """Open sessions that say nothing."""
    return [await stack.enter_async_context(dialled(url, costume)) for _ in range(count)]
