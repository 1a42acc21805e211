"""More clients than fit, on a machine cut down by a quota: are those that were let in served, and the others told?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from appliance.bench.clients import CHUNK, CHUNK_S
from appliance.bench.corpus import BYTES_PER_SECOND, Clip, room
from appliance.bench.processes import usage
from appliance.bench.quota import Quota
from appliance.cli.child import Child, own_daemon

PAUSE_S = 1.0
"""After each sentence, so that there are finals; the rest is speech."""
SAME_S = 0.3
"""Ends of speech closer together than this are of the same sentence."""
SILENCE_MS = 700
BASE_S = 6.0
SCARCE = 0.6
"""What is left of the processor, over what the streams use, so that they cannot be served."""
RETURN_S = 150.0
"""For a box to take everything back, step by step, when the trouble is over."""


class Overload(Struct, frozen=True):
    """What came of it. Lateness is of a final in a full box, over the same final in an empty one; seconds."""

    fits: int
    offered: int
    admitted: int
    finals: int
    fewest: int
    """Finals of the stream that has the fewest, that could be compared."""
    late_p50: float
    late_p95: float
    late_max: float
    """Of all finals of all streams."""
    refused_p50: float
    refused_max: float
    """From dialling to the refusal."""


class Strain(Struct, frozen=True):
    """What the box gave up when it was left with too little, and how long that took; seconds."""

    highest: int
    """Level: 1 slower partials, 2 none, 3 refusing."""
    first_step_s: float
    steps: int
    """Changes of level, there and back."""
    worst_lag_s: float
    back_s: float
    """Until all was as before, after the processor was given back; infinite when it was not."""
    cut_off: int
    """Streams that did not live to the end."""


@contextlib.asynccontextmanager
async def small_box(model: str, quota: Quota) -> AsyncIterator[Child]:
    """A daemon that measures itself and admits by that, within the quota."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file, contextlib.ExitStack() as stay:
        file.write("microphones = []\n")
        file.flush()
        stay.enter_context(quota.inside())
        async with own_daemon("--calibrate", "--model", model, "--config", file.name, quiet=True) as child:
            stay.close()
            yield child


def talk(clips: Sequence[Clip], seconds: float) -> list[bytes]:
    """Sentences with a pause for a final after each, of so many seconds altogether or a little more."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < seconds * BYTES_PER_SECOND:
        parts.append(clips[len(parts) % len(clips)].audio + room(PAUSE_S))
    return parts


def turned(talk: Sequence[bytes], by: int) -> tuple[bytes, float]:
    """The same talk beginning with another sentence, and how many seconds of it come last now."""
    by %= len(talk)
    return b"".join((*talk[by:], *talk[:by])), sum(map(len, talk[:by])) / BYTES_PER_SECOND


async def overload(child: Child, sentences: Sequence[bytes], times: int = 3) -> Overload:
    """Offer so many times the streams that fit, in real time, and compare each final with the empty box's."""
    whole, length = b"".join(sentences), sum(map(len, sentences)) / BYTES_PER_SECOND
    alone = await finals(child.url, whole)
    fits = sum((await health(child))["free"].values())
    offered = times * fits
    refusals: list[float] = []

    async def one(number: int) -> list[float] | None:
        """Of each final, how much later it came; ``None`` for a stream that was refused."""
        await asyncio.sleep(number / offered)
        audio, skipped = turned(sentences, number)
        began = time.monotonic()
        try:
            told = await finals(child.url, audio)
        except InvalidStatus:
            refusals.append(time.monotonic() - began)
            return None
        places = {(at + skipped) % length: delay for at, delay in told.items()}
        return [
            delay - alone[nearest]
            for at, delay in places.items()
            if abs((nearest := min(alone, key=lambda place: abs(place - at))) - at) < SAME_S
        ]

    admitted = [late for late in await asyncio.gather(*map(one, range(offered))) if late is not None]
    every = [late for stream in admitted for late in stream]
    return Overload(
        fits=fits,
        offered=offered,
        admitted=len(admitted),
        finals=len(every),
        fewest=min(map(len, admitted)),
        late_p50=quantile(every, 0.5),
        late_p95=quantile(every, 0.95),
        late_max=quantile(every, 1.0),
        refused_p50=quantile(refusals, 0.5),
        refused_max=quantile(refusals, 1.0),
    )


async def finals(url: str, audio: bytes) -> dict[float, float]:
    """One stream in real time: where speech ended, and how much later than its silence the final came; seconds."""
    delays: dict[float, float] = {}
    query = f"key=bench&silence_to_end_ms={SILENCE_MS}"
    async with connect(f"ws{url[4:]}/v1/stream?{query}", compression=None, max_queue=None) as socket:
        began = time.monotonic()

        async def listen() -> None:
            ended = 0.0
            async for message in socket:
                event: dict[str, Any] = json.loads(message)
                if event["type"] == "speech_ended":
                    ended = event["at"]
                elif event["type"] == "final" and event["cause"] == "silence":
                    delays[ended] = time.monotonic() - began - ended - SILENCE_MS / 1000

        listening = asyncio.create_task(listen())
        for number, start in enumerate(range(0, len(audio), CHUNK), 1):
            await asyncio.sleep(began + number * CHUNK_S - time.monotonic())
            await socket.send(audio[start : start + CHUNK])
        await socket.send('{"type": "finish"}')
        await listening
    return delays


async def strain(child: Child, sentences: Sequence[bytes], quota: Quota, cores: float) -> Strain:
    """Fill the box, leave it too little for what it does for a while, give that back, and watch."""
    fits = sum((await health(child))["free"].values())
    length = sum(map(len, sentences)) / BYTES_PER_SECOND
    running = [asyncio.create_task(finals(child.url, turned(sentences, number)[0])) for number in range(fits)]
    await asyncio.sleep(2.0)
    before = usage(child.pid).cpu_s
    await asyncio.sleep(BASE_S)
    quota.limit(SCARCE * (usage(child.pid).cpu_s - before) / BASE_S)
    began, changes, worst = time.monotonic(), [(0.0, 0)], 0.0
    given_back, back_s = False, float("inf")
    while (at := time.monotonic() - began) < length + RETURN_S:
        state = (await health(child))["ease"]
        worst = max(worst, state["lag_s"])
        if state["level"] != changes[-1][1]:
            changes.append((at, state["level"]))
        if not given_back and at > length / 3:
            quota.limit(cores)
            given_back = True
        if given_back and state["level"] == 0:
            back_s = at - length / 3
            break
        await asyncio.sleep(0.5)
    ended = await asyncio.gather(*running, return_exceptions=True)
    return Strain(
        highest=max(level for _, level in changes),
        first_step_s=changes[1][0] if len(changes) > 1 else float("inf"),
        steps=len(changes) - 1,
        worst_lag_s=worst,
        back_s=back_s,
        cut_off=sum(isinstance(one, BaseException) for one in ended),
    )


async def health(child: Child) -> dict[str, Any]:
    """What ``/healthz`` says."""

    def get() -> dict[str, Any]:
        import urllib.request

        with urllib.request.urlopen(f"{child.url}/healthz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    return await asyncio.to_thread(get)


def quantile(values: Sequence[float], share: float) -> float:
    """Not a number when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
