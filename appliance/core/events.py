"""What a session tells the outside. Every time is in samples at 16 kHz since the session's first sample.

The structs are tagged, so that they can cross a process boundary as they are.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from msgspec import Struct

from appliance.core.problems import Problem

RATE = 16_000
"""The one internal sample rate, Hz. Silero, Whisper and Vosk's models are all trained at it."""


class Cause(enum.StrEnum):
    """Why a segment became final."""

    SILENCE = "silence"
    COMMIT = "commit"
    FINISH = "finish"
    LONGEST = "longest"


class Event(Struct, frozen=True, tag_field="type", tag=str.lower):
    """Base of everything a session emits."""


class Word(Struct, frozen=True):
    """One recognised word; ``confidence`` is 0 to 1."""

    text: str
    start: int
    end: int
    confidence: float


class SpeechStarted(Event, frozen=True, tag="speech_started"):
    """Someone began to speak at ``at``; told once ``min_speech`` has been heard."""

    at: int


class Partial(Event, frozen=True, tag="partial"):
    """The text of the open segment so far. It replaces the previous one.

    The first ``stable`` words have stopped changing: later partials of the segment begin with the same ones.
    """

    segment: int
    text: str
    words: tuple[Word, ...]
    stable: int
    start: int
    end: int


class SpeechEnded(Event, frozen=True, tag="speech_ended"):
    """The speaker was last heard at ``at``; told after the configured silence, before the final is computed."""

    at: int


class Final(Event, frozen=True, tag="final"):
    """The definitive text of a segment. It is empty only where a partial told words that proved to be none.

    Segments count from 0.
    """

    segment: int
    text: str
    words: tuple[Word, ...]
    confidence: float
    language: str
    start: int
    end: int
    cause: Cause


class Committed(Event, frozen=True, tag="committed"):
    """The answer to exactly one commit, after its final if there was one. ``at`` is where the audio was cut."""

    at: int
    empty: bool


class Heard(Event, frozen=True, tag="heard"):
    """The first ``wire`` bytes of the audio have been dealt with; only for who asked to know."""

    wire: int


class Closed(Event, frozen=True, tag="closed"):
    """Nothing follows. ``audio`` is how much was heard; ``problem`` is absent when the client finished."""

    audio: int
    problem: Problem | None = None


AnyEvent = SpeechStarted | Partial | SpeechEnded | Final | Committed | Heard | Closed


SPACELESS = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that are written without spaces between words."""


def joined(words: Sequence[Word], language: str) -> str:
    """Words as one text, with spaces between them where the language (ISO 639-1) has any."""
    return ("" if language in SPACELESS else " ").join(word.text for word in words)


def seconds(samples: int) -> float:
    """Samples at 16 kHz as seconds."""
    return samples / RATE


def milliseconds(samples: int) -> int:
    """Samples at 16 kHz as whole milliseconds, rounded down."""
    return samples * 1000 // RATE
