"""The measurements. Each answers with rows: what, how much, and what is aimed at."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
from msgspec import Struct

from appliance.bench.bare import bare
from appliance.bench.capacity import capacity
from appliance.bench.clients import speech_ends, stream, streams
from appliance.bench.corpus import BYTES_PER_SECOND, Clip, continuous, conversation, made, recorded, room
from appliance.bench.costumes import COSTUMES
from appliance.bench.dialects import delays, goodbye, handshakes, idlers, talks
from appliance.bench.processes import usage
from appliance.bench.voice import scores
from appliance.cli.child import Child, own_daemon
from appliance.core.options import Endpointing
from appliance.engines.registry import ModelSpec
from appliance.packs.store import embedded
from appliance.text.errors import word_errors
from appliance.vad.silero import SileroModel

SPHINX = ModelSpec(name="pocketsphinx-en-us", engine="pocketsphinx", language="en")
KIOSK = ModelSpec(name="kiosk-words", engine="vosk", language="en", path=str(embedded()["kiosk-words"]))
FREE, CLOSED = ("native_read", "native_long", "spontaneous"), ("an4_spell_digits", "digits", "isolated_words", "noisy")
"""Groups of the development recordings: those of free speech for pocketsphinx, the others for the kiosk's words."""
REPEATS = 3
"""Costs are measured so often, engine and daemon in turn, and the least of each counts: disturbance only adds."""
FULL = 40
"""Streams of kiosk words that fill two cores, clients included."""
LATE_S = 0.5
"""A box that is later than this with a twentieth of its finals does not keep up."""


class Row(Struct, frozen=True):
    """``aim`` is absent where a figure is for information; ``good`` says whether it is met."""

    what: str
    value: float
    unit: str = ""
    aim: str = ""
    good: bool | None = None


class Plan(Struct, frozen=True):
    """How long to measure, and on what. ``speech`` is a folder of labelled recordings, or ``None`` to make speech."""

    speech: Path | None
    seconds: float = 30.0

    def clips(self, groups: Sequence[str]) -> list[Clip]:
        return recorded(self.speech, groups) if self.speech else made()


Tell = Callable[[Row], None]


@asynccontextmanager
async def daemon(model: ModelSpec) -> AsyncIterator[Child]:
    """A daemon with this model, no microphone, and no limit on streams."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("microphones = []\n[scheduling]\nstreams = 100000\n")
        file.flush()
        async with own_daemon("--model", model.name, "--config", file.name, quiet=True) as child:
            yield child


async def overhead(plan: Plan, tell: Tell) -> None:
    """Processor time of the whole daemon over that of the bare engine, same audio, in real time."""
    free, closed = plan.clips(FREE), plan.clips(CLOSED)
    cases = (
        ("continuous speech, pocketsphinx: daemon / engine", SPHINX, continuous(free, plan.seconds), 1, 1.08),
        ("half silence, pocketsphinx: daemon / engine", SPHINX, conversation(free, plan.seconds), 1, 0.65),
        ("kiosk words at 100 ms chunks: daemon - engine", KIOSK, continuous(closed, plan.seconds), 8, 0.010),
    )
    for what, model, audio, count, aim in cases:
        clips, seconds = [audio] * count, count * len(audio) / BYTES_PER_SECOND
        engine = whole = float("inf")
        for _ in range(REPEATS):
            engine = min(engine, (await bare(model, clips, paced=True)).cpu_s)
            async with daemon(model) as child:
                before = usage(child.pid).cpu_s
                await streams(child.url, clips)
                whole = min(whole, usage(child.pid).cpu_s - before)
        if model is SPHINX:
            tell(Row(what, whole / engine, "", f"<= {aim}", whole / engine <= aim))
        else:
            own, yardstick = (whole - engine) / seconds, _yardstick(audio)
            tell(Row("kiosk words: engine alone", engine / seconds, "cores per stream"))
            tell(Row(what, own, "cores per stream", f"<= {aim:.3f}", own <= aim))
            tell(
                Row(
                    "the same, over Silero alone on onnxruntime, a frame a call",
                    own / yardstick,
                    "",
                    "<= 3.3",
                    own / yardstick <= 3.3,
                )
            )


def _yardstick(audio: bytes) -> float:
    """Processor seconds per second of audio of the voice detector alone, as it is commonly run."""
    vad = SileroModel().stream()
    frames = np.frombuffer(audio, np.int16)[: len(audio) // 1024 * 512].reshape(-1, 1, 512)
    began = time.process_time()
    for frame in frames:
        vad.probabilities(frame)
    return (time.process_time() - began) / (len(audio) / BYTES_PER_SECOND)


async def silence(plan: Plan, tell: Tell) -> None:
    """Processor share of listening to a quiet room."""
    async with daemon(SPHINX) as child:
        before, began = usage(child.pid).cpu_s, time.monotonic()
        await stream(child.url, room(plan.seconds), paced=True)
        share = 100 * (usage(child.pid).cpu_s - before) / (time.monotonic() - began)
    tell(Row("listening to silence, one stream", share, "% of a core", "<= 3", share <= 3))


async def accuracy(plan: Plan, tell: Tell) -> None:
    """Word error rates of daemon and bare engine on the same clips; and whether real time changes a word."""
    for model, groups in ((SPHINX, FREE), (KIOSK, CLOSED)):
        clips = plan.clips(groups)
        alone = (await bare(model, [clip.audio for clip in clips])).texts
        async with daemon(model) as child:
            heard = [(await stream(child.url, clip.audio, paced=False)).text for clip in clips]
            few = clips[:: max(1, len(clips) // 8)]
            paced = [result.text for result in await streams(child.url, [clip.audio for clip in few])]
        for group in sorted({clip.group for clip in clips}):
            chosen = [index for index, clip in enumerate(clips) if clip.group == group]
            words = sum(len(clips[index].text.split()) for index in chosen)
            daemon_rate, alone_rate = (
                100 * sum(word_errors(clips[index].text.split(), texts[index].split()) for index in chosen) / words
                for texts in (heard, alone)
            )
            what = f"word errors, {model.engine}, {group}: daemon - engine ({alone_rate:.1f} % of {words} words)"
            tell(Row(what, daemon_rate - alone_rate, "points", "<= 0.5", daemon_rate - alone_rate <= 0.5))
        same = sum(one == heard[clips.index(clip)] for one, clip in zip(paced, few, strict=True))
        what = f"real time gives the same text as at once, {model.engine}"
        tell(Row(what, same, f"of {len(few)} clips", f"= {len(few)}", same == len(few)))


async def voice(plan: Plan, tell: Tell) -> None:
    """The gate before the recogniser, on the labelled recordings beside those of speech, where there are some."""
    folder = plan.speech.parent / "vad" if plan.speech else None
    if folder is None or not folder.is_dir():
        return
    for group, score in (await asyncio.to_thread(scores, folder, SileroModel(), Endpointing())).items():
        tell(Row(f"voiced frames, {group}: precision", 100 * score.precision, "%"))
        tell(Row(f"voiced frames, {group}: recall", 100 * score.recall, "%"))
        tell(Row(f"speech that reaches the recogniser, {group}", 100 * score.given, "%"))
        tell(Row(f"silence that does not, {group}", 100 * score.spared, "%"))


async def latency(plan: Plan, tell: Tell) -> None:
    """Finals beyond the configured silence with one stream, and at 80 % of what the machine sustains."""
    for model, groups, steps in ((SPHINX, FREE, range(3, 16)), (KIOSK, CLOSED, range(12, 121, 12))):
        audio = conversation(plan.clips(groups), plan.seconds)
        async with daemon(model) as child:
            delays = sorted((await stream(child.url, audio, paced=True)).delays)
            _tell_delays(tell, f"final beyond the silence, {model.engine}, 1 stream", delays, aim=True)
            sustained = 1
            for count in steps:
                delays = sorted(d for one in await streams(child.url, [audio] * count) for d in one.delays)
                if not delays or _percentile(delays, 0.95) > LATE_S:
                    break
                sustained = count
            tell(Row(f"streams sustained in real time, {model.engine} (clients on the same machine)", sustained))
            lag = json.loads(await asyncio.to_thread(_get, f"{child.url}/healthz"))["lag_p99_ms"]
            tell(Row(f"event loop lag p99 with the machine full, {model.engine}", lag, "ms", "<= 10", lag <= 10))
            share = max(1, int(sustained * 0.8))
            delays = sorted(d for one in await streams(child.url, [audio] * share) for d in one.delays)
            _tell_delays(tell, f"final beyond the silence, {model.engine}, {share} streams", delays, aim=False)


async def resources(plan: Plan, tell: Tell) -> None:
    """Memory of the whole daemon, and from start to ready."""
    for model in (SPHINX, KIOSK):
        async with daemon(model) as child:
            tell(Row(f"start to ready, {model.name}", child.start_s, "s"))
            idle = usage(child.pid).pss_mib
            tell(Row(f"memory idle, {model.name}", idle, "MiB"))
            audio = continuous(plan.clips(FREE if model is SPHINX else CLOSED), 4.0)
            running = asyncio.create_task(streams(child.url, [audio] * 4))
            await asyncio.sleep(4.5)
            tell(Row(f"memory per added stream, {model.name}", (usage(child.pid).pss_mib - idle) / 4, "MiB"))
            await running


async def dialects(plan: Plan, tell: Tell) -> None:
    """Each dialect beside the native protocol, same audio, real time: processor time and delay."""
    audio, count = conversation(plan.clips(CLOSED), plan.seconds), 8
    async with daemon(KIOSK) as child:
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
    async with daemon(KIOSK) as child:
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
    async with daemon(KIOSK) as child, AsyncExitStack() as stack:
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


MEASURES = {
    "overhead": overhead,
    "silence": silence,
    "voice": voice,
    "accuracy": accuracy,
    "latency": latency,
    "resources": resources,
    "dialects": dialects,
    "handshake": handshake,
    "idle": idle,
    "capacity": capacity,
}


def _tell_delays(tell: Tell, what: str, delays: list[float], *, aim: bool) -> None:
    p95 = 1000 * _percentile(delays, 0.95)
    tell(Row(f"{what}, p50", 1000 * statistics.median(delays), "ms"))
    tell(Row(f"{what}, p95", p95, "ms", "<= 200" if aim else "", p95 <= 200 if aim else None))


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body
