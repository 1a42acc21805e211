"""Decide whether the words of an utterance were spoken or invented by a decoder that was given noise."""

from __future__ import annotations

from msgspec import Struct

from appliance.core.ports import Evidence

RECENT = 4
"""Frames before an utterance whose voice probabilities belong to it: those that made it begin."""


class Voice:
    """The highest voice probability of one utterance, those frames included that made it begin."""

    def __init__(self, before: tuple[float, ...] = ()) -> None:
        self.recent = before
        """The last probabilities, with which the next utterance begins."""
        self.peak = max(before, default=0.0)

    def add(self, probability: float) -> None:
        """Count the next frame."""
        self.peak = max(self.peak, probability)
        self.recent = (*self.recent[1 - RECENT :], probability)


class Doubt(Struct, frozen=True):
    """Words are invented when the evidence is beyond all of these at once."""

    no_speech: float
    """Lower bound of the probability that nobody spoke."""
    log_probability: float
    """Upper bound of the text's mean log probability."""
    compression: float = 0.0
    """Lower bound of the text's compression ratio."""
    peak: float = 1.01
    """Upper bound of the utterance's highest voice probability."""


DOUBTS = (
    Doubt(0.6, -1.0),  # OpenAI's own rule, whisper/transcribe.py
    Doubt(0.9, -0.4),
    Doubt(0.5, -0.3, peak=0.8),
    Doubt(0.5, 0.0, compression=2.4),
)
"""Found on half an hour of noise with a voice detector made too eager (67 of 67 texts are rejected) and on 322
utterances of the development recordings (none is rejected); see ``appliance bench invented``."""


def plausible(evidence: Evidence, voice: Voice) -> bool:
    """Tell whether somebody spoke, by what the decoder and the voice detector know."""
    return not any(
        evidence.no_speech > doubt.no_speech
        and evidence.log_probability < doubt.log_probability
        and evidence.compression > doubt.compression
        and voice.peak < doubt.peak
        for doubt in DOUBTS
    )
