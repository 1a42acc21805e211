"""How far word times are from the truth, on single words joined at known places."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from appliance.bench.accuracy import normalised
from appliance.bench.bare import words
from appliance.bench.corpus import Clip
from appliance.bench.plan import WHISPER, Plan, Row, Tell
from appliance.cli.speech import say
from appliance.core.events import RATE
from appliance.core.ports import Samples

JOINED = 6
"""Words in one clip."""
CLIPS = 40
GAP_S = (0.05, 0.5)
"""Silence between two words; the speakers' own edges, 25 ms each, come on top."""
EDGE = RATE // 40
LOUD = 0.05
"""Share of the level of a word's loudest 10 ms above which audio belongs to the word."""
NEAR_MS = 100
SPOKEN = "kitchen window garden morning people water table number yellow market doctor winter open river music paper"

Truth = list[tuple[str, int, int]]
"""Words with their first and last sample."""


async def wordtimes(plan: Plan, tell: Tell) -> None:
    """The share of word starts and ends within 100 ms of the truth."""
    sources = {"synthesised": [Clip("", say(word), word) for word in SPOKEN.split()]}
    if plan.speech:
        sources["two speakers"] = [clip for clip in plan.clips(("isolated_words",)) if len(clip.text) > 2]
    for source, clips in sources.items():
        made = list(itertools.islice(joined(clips), CLIPS))
        starts: list[float] = []
        ends: list[float] = []
        found = await asyncio.to_thread(words, WHISPER, [audio for audio, _ in made])
        for (_, truth), heard in zip(made, found, strict=True):
            for text, start, end in truth:
                same = [w for w in heard if normalised(w.text) == normalised(text) and abs(w.start - start) < RATE]
                if same:
                    starts.append(abs(same[0].start - start) * 1000 / RATE)
                    ends.append(abs(same[0].end - end) * 1000 / RATE)
        for edge, errors in (("starts", starts), ("ends", ends)):
            share = 100 * float(np.mean(np.array(errors) <= NEAR_MS))
            what = f"word {edge} within 100 ms, {source}, {len(errors)} words"
            tell(Row(what, share, "%", ">= 90", share >= 90))


def joined(clips: Sequence[Clip]) -> Iterator[tuple[Samples, Truth]]:
    """Yield audio of words in random order with light noise between them, and where each word is."""
    random = np.random.default_rng(1)
    while True:
        parts: list[Samples] = []
        truth: Truth = []
        at = 0

        def add(samples: Samples, parts: list[Samples] = parts) -> int:
            parts.append(samples)
            return len(samples)

        for number in random.permutation(len(clips))[:JOINED]:
            at += add(random.normal(0, 12, int(random.uniform(*GAP_S) * RATE)).astype(np.int16))
            spoken = np.frombuffer(clips[number].audio, np.int16)
            first, last = edges(spoken)
            begin = max(0, first - EDGE)
            truth.append((clips[number].text, at + first - begin, at + last - begin))
            at += add(spoken[begin : last + EDGE])
        add(random.normal(0, 12, RATE // 2).astype(np.int16))
        yield np.concatenate(parts), truth


def edges(samples: Samples) -> tuple[int, int]:
    """Return the first and the last sample of the sound in a clip of one word."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(float)
    level = np.sqrt(np.mean(blocks**2, axis=1))
    loud = np.flatnonzero(level > level.max() * LOUD)
    return int(loud[0]) * 160, int(loud[-1] + 1) * 160
