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
"""Share of the way from the quietest to the loudest frame of two words above which a frame belongs to one of them."""
SMALLEST_RANGE = 1.0
"""Decades between quietest and loudest frame below which there is no pause to be found."""
EARLIER, LATER = 30, 10
"""Frames before and after the place that the attention gives in which the true boundary of two words is looked for."""
PAUSE = 5
"""Quiet frames that are a pause between words: 50 ms."""
SHORTEST = RATE // 50
"""Samples that a word keeps at least: 20 ms."""


def aligned(
    pieces: Sequence[Piece], alignment: Alignment, levels: NDArray[np.float32], samples: int
) -> tuple[Word, ...]:
    """Return words at their places in the utterance, without the pauses around them.

    ``levels``: log power of each frame of the utterance. A word is as sure as its least sure token.
    """
    bounds = [alignment.starts[piece.first] // HOP for piece in pieces]
    bounds.append(min(samples, alignment.starts[pieces[-1].last]) // HOP)
    pauses = [_pause(bounds, number, levels) for number in range(len(bounds))]
    words: list[Word] = []
    for number, piece in enumerate(pieces):
        start = max(pauses[number][1] * HOP, words[-1].end if words else 0)
        end = min(samples, max(pauses[number + 1][0] * HOP, start + SHORTEST))
        confidence = min(alignment.probabilities[piece.first : piece.last], default=0.0)
        words.append(Word(piece.text, min(start, end), end, min(1.0, max(0.0, confidence))))
    return tuple(words)


def _pause(bounds: Sequence[int], number: int, levels: NDArray[np.float32]) -> tuple[int, int]:
    """Return the frames ``[first, last)`` of the pause at a boundary between words; both are the boundary without one.

    The attention places a boundary in the pause, or up to 0.2 s late in the word behind it.
    """
    at = bounds[number]
    first = bounds[number - 1] if number else max(0, at - EARLIER)
    last = bounds[number + 1] if number + 1 < len(bounds) else at + EARLIER
    part = levels[first:last]
    if len(part) < PAUSE or part.max() - part.min() < SMALLEST_RANGE:
        return at, at
    quiet = np.flatnonzero(part < part.min() + LOUD * (part.max() - part.min())) + first
    runs = [run for run in np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1) if len(run) >= PAUSE]
    near = [run for run in runs if run[-1] >= at - EARLIER and run[0] <= at + LATER]
    if not near:
        return at, at
    run = max(near, key=len)
    return int(run[0]), int(run[-1]) + 1


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
