"""Processor time of the whole daemon over that of the bare engine on the same audio, in real time."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np

from appliance.bench.bare import bare
from appliance.bench.clients import Heard, stream, streams
from appliance.bench.corpus import BYTES_PER_SECOND, continuous, conversation, room
from appliance.bench.plan import CLOSED, FREE, KIOSK, WHISPER, Plan, Row, Tell, daemon
from appliance.bench.processes import usage
from appliance.engines.registry import ModelSpec
from appliance.vad.silero import SileroModel

REPEATS = 3
"""Costs are measured so often, engine and daemon in turn, and the least of each counts: disturbance only adds."""


async def overhead(plan: Plan, tell: Tell) -> None:
    """Cost of finals, the price of partials, what silence saves, and the service around a stream of kiosk words."""
    free, closed = plan.clips(FREE), plan.clips(CLOSED)
    speech, half = continuous(free, plan.seconds), conversation(free, plan.seconds)
    alone, whole = await _costs(plan, WHISPER, speech, 0)
    tell(Row("whisper, engine alone, finals only", alone, "cores per stream"))
    tell(Row("whisper, daemon, finals only", whole, "cores per stream"))
    tell(Row("whisper, finals only: daemon / engine", whole / alone, "", "<= 1.10", whole / alone <= 1.10))
    _, shown = await _costs(plan, WHISPER, speech, 250)
    tell(Row("whisper, daemon, partials every 250 ms or as seldom as their share of a core allows", shown,
             "cores per stream"))  # fmt: skip
    _, quiet = await _costs(plan, WHISPER, half, 0)
    tell(Row("whisper, half silence / continuous speech, daemon", quiet / whole, "", "<= 0.6", quiet / whole <= 0.6))
    alone, whole = await _costs(plan, KIOSK, continuous(closed, plan.seconds), 250, count=8)
    own, yardstick = whole - alone, _yardstick(continuous(closed, plan.seconds))
    tell(Row("kiosk words: engine alone", alone, "cores per stream"))
    tell(Row("kiosk words at 100 ms chunks: daemon - engine", own, "cores per stream", "<= 0.010", own <= 0.010))
    what = "the same, over Silero alone on onnxruntime, a frame a call"
    tell(Row(what, own / yardstick, "", "<= 3.3", own / yardstick <= 3.3))


async def _costs(plan: Plan, model: ModelSpec, audio: bytes, partial_ms: int, count: int = 1) -> tuple[float, float]:
    """Return processor seconds per second of audio of engine and daemon."""
    clips, seconds = [audio] * count, count * len(audio) / BYTES_PER_SECOND
    engine: list[float] = []
    whole: list[float] = []
    for _ in range(REPEATS):
        engine.append((await bare(model, clips, paced=True, partials=partial_ms > 0 and model is KIOSK)).cpu_s)
        async with daemon(model, plan) as child:
            before = usage(child.pid).cpu_s
            await streams(child.url, clips, partial_ms=partial_ms)
            whole.append(usage(child.pid).cpu_s - before)
    return min(engine) / seconds, min(whole) / seconds


def _yardstick(audio: bytes) -> float:
    """Return processor seconds per second of audio of the voice detector alone, as it is commonly run."""
    vad = SileroModel().stream()
    frames = np.frombuffer(audio, np.int16)[: len(audio) // 1024 * 512].reshape(-1, 1, 512)
    began = time.process_time()
    for frame in frames:
        vad.probabilities(frame)
    return (time.process_time() - began) / (len(audio) / BYTES_PER_SECOND)


async def silence(plan: Plan, tell: Tell) -> None:
    """Processor share of listening to a quiet room."""
    async with daemon(WHISPER, plan) as child:
        before, began = usage(child.pid).cpu_s, time.monotonic()
        await stream(child.url, room(plan.seconds), paced=True)
        share = 100 * (usage(child.pid).cpu_s - before) / (time.monotonic() - began)
    tell(Row("listening to silence, one stream", share, "% of a core", "<= 3", share <= 3))


async def resources(plan: Plan, tell: Tell) -> None:
    """Memory of the whole daemon and of each worker, and from start to ready."""
    for model in (WHISPER, KIOSK):
        starts: list[float] = []
        for _ in range(REPEATS - 1):
            async with daemon(model, plan) as child:
                starts.append(child.start_s)
        async with daemon(model, plan) as child:
            tell(Row(f"start to ready, {model.name}", statistics.median([*starts, child.start_s]), "s"))
            idle = usage(child.pid)
            tell(Row(f"memory idle, {model.name}, {idle.processes} processes", idle.pss_mib, "MiB"))
            audio = continuous(plan.clips(FREE if model is WHISPER else CLOSED), 8.0)
            peak = 0.0
            for count in (1, 4):
                running = [stream(child.url, audio, paced=True) for _ in range(count)]
                peak, before = await _peak(child.pid, running), peak
                what = f"memory, {model.name}, {count} streams in mid-speech"
                tell(Row(what, peak, "MiB"))
            tell(Row(f"memory per added stream, {model.name}", (peak - before) / 3, "MiB"))


async def _peak(pid: int, running: Sequence[Coroutine[Any, Any, Heard]]) -> float:
    """Return the largest memory of a process and its children while the streams run, in MiB."""
    work = asyncio.gather(*running)
    peak = 0.0
    while not work.done():
        peak = max(peak, (await asyncio.to_thread(usage, pid)).pss_mib)
        await asyncio.sleep(0.3)
    await work
    return peak
