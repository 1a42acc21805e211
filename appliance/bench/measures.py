"""All measurements by name, and those of the protocols. Each gives rows: what, how much, and what is aimed at."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from appliance.bench.accuracy import accuracy
from appliance.bench.capacity import capacity
from appliance.bench.clients import speech_ends, stream, streams
from appliance.bench.corpus import BYTES_PER_SECOND, continuous, conversation, room
from appliance.bench.costs import REPEATS, overhead, resources, silence
from appliance.bench.costumes import COSTUMES
from appliance.bench.dialects import delays, goodbye, handshakes, idlers, talks
from appliance.bench.invented import invented
from appliance.bench.latency import latency
from appliance.bench.partials import partials
from appliance.bench.plan import CLOSED, KIOSK, NotMeasured, Plan, Row, Tell, daemon
from appliance.bench.processes import usage
from appliance.bench.voice import scores
from appliance.bench.wordtimes import wordtimes
from appliance.core.options import Endpointing
from appliance.vad.silero import SileroModel

FULL = 40
"""Streams of kiosk words that fill two cores, clients included."""


async def voice(plan: Plan, tell: Tell) -> None:
    """The gate before the recogniser, on labelled recordings. Raises ``NotMeasured`` where there are none."""
    folder = plan.speech.parent / "vad" if plan.speech else None
    if folder is None or not (folder / "manifest.jsonl").is_file():
        raise NotMeasured(
            "needs recordings with labels of where speech is: a folder vad with a manifest.jsonl "
            "beside the folder that --speech names"
        )
    for group, score in (await asyncio.to_thread(scores, folder, SileroModel(), Endpointing())).items():
        tell(Row(f"voiced frames, {group}: precision", 100 * score.precision, "%"))
        tell(Row(f"voiced frames, {group}: recall", 100 * score.recall, "%"))
        tell(Row(f"speech that reaches the recogniser, {group}", 100 * score.given, "%"))
        tell(Row(f"silence that does not, {group}", 100 * score.spared, "%"))


async def dialects(plan: Plan, tell: Tell) -> None:
    """Each dialect beside the native protocol, same audio, real time: processor time and delay."""
    audio, count = conversation(plan.clips(CLOSED), plan.seconds), 8
    async with daemon(KIOSK, plan) as child:
        ends = await speech_ends(child.url, audio)
        costs: dict[str, float] = {costume.name: float("inf") for costume in COSTUMES}
        late: dict[str, list[float]] = {costume.name: [] for costume in COSTUMES}
        for _ in range(REPEATS - 1):
            for costume in COSTUMES:
                before = usage(child.pid).cpu_s
                told = await talks(child.url, costume, audio, count)
                cost = (usage(child.pid).cpu_s - before) / (count * len(audio) / BYTES_PER_SECOND)
                costs[costume.name] = min(costs[costume.name], cost)
                late[costume.name] += delays(told, ends, costume.silence_ms / 1000)
    own, *others = COSTUMES
    tell(Row(f"{own.name}: the whole daemon", costs[own.name], "cores per stream"))
    tell(Row(f"{own.name}: final beyond the silence, p50", _middle(late[own.name]), "ms"))
    for costume in others:
        tell(Row(f"{costume.name}: cost over {own.name}", costs[costume.name] / costs[own.name]))
        added = _middle(late[costume.name]) - _middle(late[own.name])
        tell(Row(f"{costume.name}: final later than {own.name}, p50", added, "ms"))


def _middle(seconds: Sequence[float]) -> float:
    return 1000 * statistics.median(seconds) if seconds else float("nan")


async def handshake(plan: Plan, tell: Tell) -> None:
    """The first and the last words of the server, while the machine has all the streams it can do."""
    audio = continuous(plan.clips(CLOSED), max(60.0, plan.seconds))
    async with daemon(KIOSK, plan) as child:
        load = asyncio.create_task(streams(child.url, [audio] * FULL))
        await asyncio.sleep(3.0)
        for costume in COSTUMES:
            taken = await handshakes(child.url, costume, 10)
            tell(Row(f"handshake at full load, {costume.name}, worst of 10", 1000 * taken[-1], "ms", "<= 1000",
                     taken[-1] <= 1.0))  # fmt: skip
        for costume in COSTUMES:
            if costume.last:
                asked = [goodbye(child.url, costume, audio[: int(2.5 * BYTES_PER_SECOND)]) for _ in range(3)]
                slowest = max(await asyncio.gather(*asked))
                tell(Row(f"last words at full load, {costume.name}, worst of 3", 1000 * slowest, "ms", "<= 5000",
                         slowest <= 5.0))  # fmt: skip
        await load


async def idle(plan: Plan, tell: Tell) -> None:
    """A hundred open sessions that say nothing."""
    count = 100
    async with daemon(KIOSK, plan) as child, AsyncExitStack() as stack:
        await stream(child.url, room(1.0), paced=False)
        empty = usage(child.pid)
        await asyncio.sleep(plan.seconds / 3)
        rest = usage(child.pid).cpu_s - empty.cpu_s
        await idlers(child.url, COSTUMES[0], count, stack)
        await asyncio.sleep(2.0)
        before = usage(child.pid)
        await asyncio.sleep(plan.seconds / 3)
        after = usage(child.pid)
        tell(Row(f"{count} idle sessions: memory of each", (after.pss_mib - empty.pss_mib) / count, "MiB"))
        share = 100 * (after.cpu_s - before.cpu_s - rest) / (plan.seconds / 3)
        tell(Row(f"{count} idle sessions: processor, all together", share, "% of a core", "<= 3", share <= 3))


MEASURES: dict[str, Callable[[Plan, Tell], Awaitable[None]]] = {
    "overhead": overhead,
    "silence": silence,
    "voice": voice,
    "accuracy": accuracy,
    "invented": invented,
    "wordtimes": wordtimes,
    "partials": partials,
    "latency": latency,
    "resources": resources,
    "dialects": dialects,
    "handshake": handshake,
    "idle": idle,
    "capacity": capacity,
}
