"""What is said in a benchmark: labelled recordings when there are some, else sentences made on the spot."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from appliance.cli.demo import SENTENCES
from appliance.cli.speech import say

BYTES_PER_SECOND = 32_000
"""s16le mono at 16 kHz, which is all the benchmarks use."""


class Clip(Struct, frozen=True):
    """One recording and what is said in it."""

    group: str
    audio: bytes
    text: str

    @property
    def seconds(self) -> float:
        return len(self.audio) / BYTES_PER_SECOND


class _Row(Struct):
    file: str
    group: str
    text: str | None


def recorded(folder: Path, groups: Sequence[str]) -> list[Clip]:
    """Clips of a folder whose ``manifest.jsonl`` has a file, a text and a group in each line."""
    clips = []
    for line in (folder / "manifest.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line, type=_Row)
        if row.group in groups and row.text:
            with wave.open(str(folder / row.file)) as audio:
                clips.append(Clip(row.group, audio.readframes(audio.getnframes()), row.text))
    return clips


def made() -> list[Clip]:
    """The demonstration's sentences by the synthesiser."""
    return [Clip("synthesised", say(sentence), sentence) for sentence in SENTENCES]


def room(seconds: float) -> bytes:
    """A quiet room: noise at -66 dBFS, the same every time."""
    noise = np.random.default_rng(0).normal(0, 16, int(seconds * 16_000))
    return noise.astype("<i2").tobytes()


def continuous(clips: Sequence[Clip], seconds: float) -> bytes:
    """Clips end to end, over and over, cut at ``seconds``."""
    audio = b"".join(clip.audio for clip in clips)
    wanted = int(seconds * 16_000) * 2
    return (audio * (wanted // len(audio) + 1))[:wanted]


def conversation(clips: Sequence[Clip], seconds: float) -> bytes:
    """Clips with as much quiet room after each as it is long: half of it is silence."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < seconds * BYTES_PER_SECOND:
        for clip in clips:
            parts += [clip.audio, room(clip.seconds)]
    return b"".join(parts)[: int(seconds * 16_000) * 2]
