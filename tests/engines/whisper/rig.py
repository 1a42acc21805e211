"""Stand-ins for CTranslate2's model and for the recogniser of a stream, and the embedded model once per test run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from appliance.core.events import RATE
from appliance.core.ports import Evidence
from appliance.engines.registry import load
from appliance.engines.whisper.decoder import Alignment, Decoded
from appliance.engines.whisper.features import HOP
from appliance.engines.whisper.recognizer import WhisperRecognizer
from appliance.engines.whisper.vocabulary import Piece
from tests.box import whisper

SURE = Evidence(no_speech=0.1, log_probability=-0.1, compression=1.0, tokens=1)


@cache
def recognizer() -> WhisperRecognizer:
    """The embedded model, loaded once for all tests of a run."""
    made = load(whisper())
    assert isinstance(made, WhisperRecognizer)
    made.prepare()
    return made


def folder() -> Path:
    """The embedded model's files."""
    return Path(whisper().path or "")


class Model:
    """``ctranslate2.models.Whisper``: answers are lists of token ids, one for each call of ``generate``."""

    n_mels = 80

    def __init__(self, *answers: list[int], languages: dict[str, float] | None = None) -> None:
        self.answers = list(answers)
        self.frames: list[int] = []
        """Frames of each call of ``encode``."""
        self.starts: list[list[int]] = []
        """Start sequence of each call of ``generate``."""
        self.lengths: list[int] = []
        self.aligned: tuple[Any, ...] = ()
        self.alignments: list[tuple[int, int]] = []
        self._languages = languages or {}

    def encode(self, features: Any) -> Any:
        self.frames.append(features.shape[2])
        return features

    def generate(self, encoded: Any, starts: list[list[int]], *, max_length: int, **more: Any) -> list[Any]:
        assert (more["beam_size"], more["return_scores"], more["return_no_speech_prob"]) == (1, True, True)
        self.starts.append(starts[0])
        self.lengths.append(max_length)
        return [SimpleNamespace(sequences_ids=[self.answers.pop(0)], scores=[-0.25], no_speech_prob=0.5)]

    def detect_language(self, encoded: Any) -> list[list[tuple[str, float]]]:
        return [[(f"<|{code}|>", score) for code, score in self._languages.items()]]

    def align(self, encoded: Any, start: list[int], tokens: list[list[int]], frames: int) -> list[Any]:
        self.aligned = (start, tokens, frames)
        return [SimpleNamespace(alignments=self.alignments, text_token_probs=[0.5] * len(tokens[0]))]


class Letters:
    """A vocabulary whose tokens are characters: a word for each letter."""

    start, end, previous, untimed = 1_000, 999, 1_001, 1_002

    def opening(self, language: str) -> list[int]:
        return [self.start, ord(language[0])]

    def text(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))

    def words(self, tokens: list[int], language: str) -> list[Piece]:
        return [Piece(chr(token), at, at + 1) for at, token in enumerate(tokens)]


class Sound:
    """``features.Spectrogram`` without a spectrum: a letter is loud, the pause behind it quiet, silence quietest."""

    def __init__(self, bins: int) -> None:
        self.clear()

    def clear(self) -> None:
        self.samples = 0
        self._parts: list[np.ndarray] = []

    @property
    def audio(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int16), *self._parts])

    def push(self, samples: np.ndarray) -> None:
        self.samples += len(samples)
        self._parts.append(samples)

    def levels(self) -> np.ndarray:
        frames = self.audio[: self.samples // HOP * HOP].reshape(-1, HOP)
        peaks = frames.max(axis=1)
        return np.select([peaks >= 100, peaks > 0], [-2.0, -4.0], -8.0).astype(np.float32)

    def split(self, samples: int) -> Sound:
        audio, rest = self.audio, Sound(0)
        self.clear()
        self.push(audio[:samples])
        rest.push(audio[samples:])
        return rest


class Speaker:
    """A decoder for ``Sound`` that says itself what is spoken: see ``say``. It records what it was asked."""

    bins = 80

    def __init__(self) -> None:
        self.decodes: list[tuple[int, tuple[str, ...], str, str]] = []
        """Samples, languages, prompt and forced text of each decode."""
        self.scores: dict[str, float] = {}
        """Probability of each language."""
        self.mishears: dict[int, str] = {}
        """Number of a decode -> what its last word becomes."""
        self.evidence = SURE
        self.seconds = 0.0
        """What a decode takes on ``clock``."""
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def decode(self, audio: Any, languages: Any, *, prompt: Any = (), forced: Any = ()) -> Decoded:
        self.decodes.append((audio.samples, tuple(languages), "".join(map(chr, prompt)), "".join(map(chr, forced))))
        self.now += self.seconds
        words = spoken(audio.audio)
        if len(self.decodes) in self.mishears:
            words = words[:-1] + self.mishears[len(self.decodes)]
        tokens = [*forced, *map(ord, words[len(forced) :])]
        return Decoded(tokens, languages[0], self.evidence, False, audio.audio, audio.samples // HOP)

    def detect(self, audio: Any) -> dict[str, float]:
        return self.scores

    def align(self, decoded: Decoded) -> Alignment:
        places = np.flatnonzero(np.diff((decoded.encoded >= 100).astype(np.int8), prepend=0) > 0)
        starts = [*map(int, places[: len(decoded.tokens)]), len(decoded.encoded)]
        return Alignment(starts, [0.5] * len(decoded.tokens))


class Owner:
    """A recogniser of one ``Speaker``."""

    def __init__(self, share: float = 0.5) -> None:
        self.vocabulary = Letters()
        self.partial_share = share
        self.speaking = 0
        self.speaker = Speaker()

    def decoder(self) -> Any:
        return self.speaker


WORD, GAP = RATE * 4 // 10, RATE // 10
"""Samples of a spoken letter and of the pause behind it: two letters a second."""


def say(letters: str) -> np.ndarray:
    """Audio of these letters; a space is half a second of silence."""
    made = np.zeros((len(letters), WORD + GAP), np.int16)
    for row, letter in zip(made, letters, strict=True):
        row[:WORD] = 0 if letter == " " else 100 * (ord(letter) - 96)
        row[WORD:] = 0 if letter == " " else 20
    return made.reshape(-1)


def spoken(samples: np.ndarray) -> str:
    """Return the letters of the audio, also those that have only begun."""
    edges = np.flatnonzero(np.diff(samples.astype(np.int32))) + 1
    values = samples[np.concatenate(([0], edges))] if len(samples) else samples
    return "".join(chr(96 + value // 100) for value in values.tolist() if value >= 100)
