"""What the session needs from outside, as protocols: a recogniser, a voice detector.

They stand here and not beside the adapters, so that the session knows no adapter (docs/decisions/0002).
Samples are always int16, mono, 16 kHz, in one-dimensional numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.core.events import Word

Samples = NDArray[np.int16]


class Hypothesis(Struct, frozen=True):
    """Words of one utterance. Their times are samples since the utterance's first sample."""

    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Capabilities(Struct, frozen=True, kw_only=True):
    """What an engine can do with the model it has loaded."""

    engine: str
    model: str
    language: str
    """ISO 639-1, lower case."""
    grammar: bool
    """Phrase lists (a closed grammar) are honoured."""
    word_confidence: bool
    sessions_per_worker: int
    """How many sessions one process can hold; 1 where a decoder is the state of one utterance."""
    streams_per_core: int
    """A careful guess used until the board has measured itself."""


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


class Recognizer(Protocol):
    """A loaded model, shared by all sessions of the processes forked after loading."""

    @property
    def capabilities(self) -> Capabilities: ...

    def stream(self, phrases: tuple[str, ...] = ()) -> Stream: ...


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
