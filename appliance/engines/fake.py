"""A recogniser without a model, for tests and demonstrations of everything around one.

It "hears" the words of a script, one for every 0.3 s of speech, utterance after utterance. It can also do what real
engines do on bad days: crash or hang when a certain sample value comes by.
"""

from __future__ import annotations

import ctypes
import time

import numpy as np
from msgspec import Struct

from appliance.core.events import RATE, Word
from appliance.core.ports import Capabilities, Hypothesis, Samples

PACE = RATE * 3 // 10


class Script(Struct, frozen=True, kw_only=True):
    """What to hear, and the sample values that stand for trouble."""

    words: tuple[str, ...] = ("one", "two", "three", "four", "five", "six", "seven", "eight")
    crash_on: int | None = None
    hang_on: int | None = None
    sessions_per_worker: int = 64


class FakeRecognizer:
    """Deterministic: a stream's text depends only on the audio it was given."""

    def __init__(self, name: str = "fake", language: str = "en", script: Script | None = None) -> None:
        self._script = script or Script()
        self.capabilities = Capabilities(
            engine="fake",
            model=name,
            language=language,
            grammar=True,
            word_confidence=True,
            sessions_per_worker=self._script.sessions_per_worker,
            streams_per_core=64,
        )

    def prepare(self) -> None:
        """Nothing: there is no model."""

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> FakeStream:
        return FakeStream(self._script, phrases)


class FakeStream:
    """Words are chosen by how much audio came before in the same utterance."""

    def __init__(self, script: Script, phrases: tuple[str, ...]) -> None:
        self._script = script
        self._words = phrases or script.words
        self._fed = 0

    def accept(self, samples: Samples) -> None:
        if self._script.crash_on is not None and np.any(samples == self._script.crash_on):
            ctypes.string_at(0)  # a real segmentation fault
        if self._script.hang_on is not None and np.any(samples == self._script.hang_on):
            time.sleep(3600)
        self._fed += len(samples)

    def partial(self) -> Hypothesis:
        count = self._fed // PACE
        return Hypothesis(
            tuple(Word(self._words[i % len(self._words)], i * PACE, (i + 1) * PACE, 1.0) for i in range(count))
        )

    def finish(self) -> Hypothesis:
        heard = self.partial()
        self._fed = 0
        return heard

    def grammar(self, phrases: tuple[str, ...]) -> None:
        self._words = phrases or self._script.words

    def close(self) -> None:
        self._fed = 0
