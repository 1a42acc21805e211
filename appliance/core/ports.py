"""What the session needs from outside, as protocols: a recogniser, a voice detector.

They stand here and not beside the adapters, so that the session knows no adapter (docs/decisions/0002).
Samples are always int16, mono, 16 kHz, in one-dimensional numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.core.events import Word

Samples = NDArray[np.int16]


class Evidence(Struct, frozen=True):
    """What an engine knows about whether an utterance was speech at all; see ``core.plausibility``."""

    no_speech: float
    """Probability, 0 to 1, that nobody spoke."""
    log_probability: float
    """Mean natural logarithm of the tokens' probabilities."""
    compression: float
    """How many times shorter the text gets by zlib; text that repeats itself has a high value."""
    tokens: int
    """How many tokens the text has."""


class Hypothesis(Struct, frozen=True):
    """Words of one utterance. Their times are samples since the utterance's first sample."""

    words: tuple[Word, ...] = ()
    language: str = ""
    """ISO 639-1 code of the language that was recognised; empty for an engine of one language."""
    evidence: Evidence | None = None
    """Absent for engines that write nothing where nobody speaks. It is about the words after those of ``earlier``."""
    fixed: int | None = None
    """Leading words that later partials of the utterance begin with; ``None`` where the engine cannot promise any."""
    earlier: tuple[tuple[int, Evidence], ...] = ()
    """Parts of a long utterance that were decoded before the last one: how many words each has, and its evidence."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Capabilities(Struct, frozen=True, kw_only=True):
    """What an engine can do with the model it has loaded."""

    engine: str
    model: str
    language: str
    """The language of a session that names none; ISO 639-1, lower case."""
    languages: tuple[str, ...] = ()
    """All languages of a multilingual model; empty for a model of one language."""
    grammar: bool
    """Phrase lists (a closed grammar) are honoured."""
    word_confidence: bool
    sessions_per_worker: int
    """How many sessions one process can hold; 1 where a decoder is the state of one utterance."""
    streams_per_core: int
    """A careful guess used until the board has measured itself."""
    utterance_s: float = 0.0
    """Seconds of audio below which an utterance stays open at a pause, because the engine decodes an utterance as a
    whole and writes better with more of it; 0 ends it at every pause. Its streams are ``DraftStream``."""
    pre_roll_ms: int = 0
    """Audio before the first voiced frame that the engine needs at least, whatever a client asks for."""
    fork_safe: bool = True
    """The model is loaded before a process is forked and shared by its children; otherwise each loads its own."""

    worker_mib: int = 0
    """Memory that each worker needs for itself at its peak, MiB; 0 where workers share the model."""

    def serves(self, language: str) -> bool:
        """Tell whether the model writes this language (ISO 639-1)."""
        return language == self.language or language in self.languages


class Stream(Protocol):
    """The recogniser's side of one session: one utterance at a time, used by one thread at a time."""

    def accept(self, samples: Samples) -> None:
        """The next samples of the utterance; the first ones begin it."""

    def partial(self) -> Hypothesis:
        """The words so far; any of them may still change."""

    def finish(self) -> Hypothesis:
        """The final words of the utterance. The stream is then ready for the next one."""

    def grammar(self, phrases: tuple[str, ...]) -> None:
        """Allow only these phrases from the next utterance on; empty means free speech. Only between utterances."""

    def close(self) -> None:
        """Give back what the stream holds."""


@runtime_checkable
class DraftStream(Stream, Protocol):
    """A stream whose final costs so much that it is computed before it is known to be needed."""

    context: tuple[int, ...]
    """What earlier utterances leave for the decoder of later ones, between utterances; a stream that goes on for
    another one begins with that of the other."""

    def draft(self) -> Hypothesis:
        """The final words if the utterance ends here; ``finish`` returns the same at no cost unless audio follows."""

    def finish_s(self) -> float:
        """Seconds that ``finish`` will take, estimated; 0 when the draft is there."""


class Recognizer(Protocol):
    """A model. Sessions of one process share it; processes forked after loading share it where it is fork-safe."""

    @property
    def capabilities(self) -> Capabilities: ...

    def prepare(self) -> None:
        """Load what each process must load for itself. Raises ``OSError`` or ``MemoryError``."""

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> Stream:
        """A stream for one session. ``phrases``: a closed grammar. ``languages``: those to choose among, where the
        model has several; none leaves it to the model.
        """


Readable = Callable[[tuple[Word, ...], str], tuple[Word, ...]]
"""Words of a final and their language (ISO 639-1) to words as a person writes them, with their times."""


class Vad(Protocol):
    """The voice detector's side of one session."""

    frame: int
    """Samples in one frame."""

    def probabilities(self, frames: NDArray[np.int16]) -> list[float]:
        """Voice probability, 0 to 1, of each row of ``frames`` (shape ``(n, frame)``), in order.

        How frames are grouped into calls does not change the result.
        """


class VadModel(Protocol):
    """A loaded voice detector, shared like a recogniser."""

    frame: int

    def stream(self) -> Vad: ...
