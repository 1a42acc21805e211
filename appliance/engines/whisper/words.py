"""Words with times and confidence, from aligned tokens (finals) or from estimates (partials)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from appliance.core.events import RATE, Word
from appliance.engines.whisper.decoder import Alignment
from appliance.engines.whisper.features import HOP
from appliance.engines.whisper.vocabulary import Piece

ENDS = ".?!,;:…-"
"""Punctuation that a decoder writes at the end of the audio, whether or not the sentence ends there."""
LOUD = 0.35
"""Share of the way from the quietest to the loudest frame of a word above which a frame belongs to it."""
SMALLEST_RANGE = 1.0
"""Decades between quietest and loudest frame below which a word has no quiet edge to be cut."""
SHORTEST = RATE // 50
"""Samples that a word keeps at least: 20 ms."""


def aligned(
    pieces: Sequence[Piece], alignment: Alignment, levels: NDArray[np.float32], samples: int
) -> tuple[Word, ...]:
    """Return words at their places in the utterance, without the silence that the attention leaves at their edges.

    ``levels``: log power of each frame of the utterance. A word is as sure as its least sure token.
    """
    words = []
    for piece in pieces:
        start, end = alignment.starts[piece.first], min(samples, alignment.starts[piece.last])
        start, end = _voiced(start, max(end, start + SHORTEST), levels)
        confidence = min(alignment.probabilities[piece.first : piece.last], default=0.0)
        words.append(Word(piece.text, start, end, min(1.0, max(0.0, confidence))))
    return tuple(words)


def _voiced(start: int, end: int, levels: NDArray[np.float32]) -> tuple[int, int]:
    """Return the part of a word that is louder than the pauses around it."""
    first, last = start // HOP, min(len(levels), -(-end // HOP))
    part = levels[first:last]
    if len(part) < 3 or part.max() - part.min() < SMALLEST_RANGE:
        return start, end
    loud = np.flatnonzero(part >= part.min() + LOUD * (part.max() - part.min()))
    return max(start, int(first + loud[0]) * HOP), min(end, max(int(first + loud[-1] + 1) * HOP, start + SHORTEST))


def estimated(texts: Sequence[str], shown: Sequence[Word], begin: int, now: int) -> tuple[Word, ...]:
    """Return words whose times are estimates: those shown before keep theirs, new ones share the audio up to ``now``.

    ``begin``: the sample at which the first word may start.
    """
    same = 0
    while same < min(len(texts), len(shown)) and shown[same].text.rstrip(ENDS) == texts[same].rstrip(ENDS):
        same += 1
    words = [structs.replace(word, text=text) for word, text in zip(shown[:same], texts, strict=False)]
    at = words[-1].end if words else begin
    step = max(0, now - at) // max(1, len(texts) - same)
    for text in texts[same:]:
        words.append(Word(text, at, at + step, 1.0))
        at += step
    return tuple(words)
