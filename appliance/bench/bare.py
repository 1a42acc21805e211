"""The engine alone, as the yardstick: ``python -m appliance.bench.bare``, a process of its own.

Reads a plan as JSON from standard input and prints texts and processor seconds (after loading) as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from appliance import interpreter
from appliance.core.events import Word
from appliance.core.ports import Hypothesis, Samples, Stream
from appliance.engines.registry import ModelSpec, load

CHUNK_S = 0.1
CHUNK = int(16_000 * CHUNK_S)


class Job(Struct, frozen=True):
    """Clips one after the other, or ``paced`` in real time and all at once; s16le at 16 kHz.

    ``partials``: one is asked for every 100 ms.
    """

    model: ModelSpec
    clips: tuple[bytes, ...]
    paced: bool = False
    partials: bool = True


class Result(Struct, frozen=True):
    texts: tuple[str, ...]
    cpu_s: float


async def bare(model: ModelSpec, clips: Sequence[bytes], *, paced: bool = False, partials: bool = True) -> Result:
    """What the engine alone makes of the clips, and what it costs."""
    process = await asyncio.create_subprocess_exec(
        *interpreter.command("appliance.bench.bare"), stdin=PIPE, stdout=PIPE
    )
    output, _ = await process.communicate(msgspec.json.encode(Job(model, tuple(clips), paced, partials)))
    return msgspec.json.decode(output, type=Result)


def _run(job: Job) -> Result:
    recognizer = load(job.model)
    recognizer.prepare()
    began = time.process_time()
    if not job.paced:
        texts = [_one(recognizer.stream(), np.frombuffer(clip, np.int16), job.partials).text for clip in job.clips]
        return Result(tuple(texts), time.process_time() - began)
    running = [(recognizer.stream(), np.frombuffer(clip, np.int16)) for clip in job.clips]
    clock = time.monotonic()
    for start in range(0, max(len(samples) for _, samples in running), CHUNK):
        clock += CHUNK_S
        time.sleep(max(0.0, clock - time.monotonic()))
        for stream, samples in running:
            if len(samples) > start:
                stream.accept(samples[start : start + CHUNK])
                if job.partials:
                    stream.partial()
    return Result(tuple(stream.finish().text for stream, _ in running), time.process_time() - began)


def words(model: ModelSpec, clips: Sequence[Samples]) -> list[tuple[Word, ...]]:
    """Return the words of each clip, as the engine alone writes them, in this process."""
    recognizer = load(model)
    return [_one(recognizer.stream(), clip, False).words for clip in clips]


def _one(stream: Stream, samples: Samples, partials: bool) -> Hypothesis:
    for start in range(0, len(samples), CHUNK):
        stream.accept(samples[start : start + CHUNK])
        if partials:
            stream.partial()
    heard = stream.finish()
    stream.close()
    return heard


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))
