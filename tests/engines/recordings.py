"""Development recordings with what is said in them."""

from __future__ import annotations

import json
import wave
from functools import cache

import numpy as np
from msgspec import Struct

from tests.material import shared

HELD_OUT = {f"an4-{name}" for name in ("fejs", "fsrb", "mcel", "mdxn", "mema", "mjhp", "mkem", "msct")}
"""Speakers of ``an4_spell_digits`` that the embedded pack was not trained on."""


class Recording(Struct, frozen=True):
    name: str
    words: tuple[str, ...]

    @property
    def samples(self) -> np.ndarray:
        return read(self.name)


@cache
def read(name: str) -> np.ndarray:
    with wave.open(str(shared("speech", name))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@cache
def group(name: str) -> tuple[Recording, ...]:
    """The rows of a group, without speakers that a model of ours has been trained on."""
    rows = [json.loads(line) for line in shared("speech", "manifest.jsonl").read_text().splitlines()]
    return tuple(
        Recording(row["file"], tuple(row["text"].split()))
        for row in rows
        if row["group"] == name and (name != "an4_spell_digits" or row["speaker"] in HELD_OUT)
    )


def said(hypothesis) -> tuple[str, ...]:
    return tuple(word.text for word in hypothesis.words)


def feed(stream, samples: np.ndarray, piece: int = 2_048) -> None:
    for at in range(0, len(samples), piece):
        stream.accept(samples[at : at + piece])


def well_timed(hypothesis, length: int) -> bool:
    """Words one after the other, within the audio, with confidences between 0 and 1."""
    edges = [edge for word in hypothesis.words for edge in (word.start, word.end)]
    inside = not edges or (edges[0] >= 0 and edges[-1] <= length)
    long = all(word.start < word.end for word in hypothesis.words)
    sure = all(0 <= word.confidence <= 1 for word in hypothesis.words)
    return edges == sorted(edges) and inside and long and sure
