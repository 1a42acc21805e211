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


class Speaker:
    """A decoder for audio whose sample value says what is spoken: ``WORD`` samples of 100 * n are the n-th letter.

    It records what it was asked: (samples, languages, prompt, forced) of each decode.
    """

    bins = 80
    WORD = RATE // 2

    def __init__(self) -> None:
        self.decodes: list[tuple[int, tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = []
        self.scores: dict[str, float] = {}
        self.mishears: dict[int, str] = {}
        """Number of a decode -> what it makes of its last word."""
        self.evidence = SURE
        self.seconds = 0.0
        """What a decode takes on ``clock``."""
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def decode(self, audio: Any, languages: Any, *, prompt: Any = (), forced: Any = ()) -> Decoded:
        self.decodes.append((audio.samples, tuple(languages), tuple(prompt), tuple(forced)))
        self.now += self.seconds
        samples = np.concatenate(audio._audio) if audio._audio else np.zeros(0, np.int16)
        words = spoken(samples)
        number = len(self.decodes)
        if number in self.mishears and words:
            words = words[:-1] + self.mishears[number]
        tokens = [*forced, *map(ord, words[len(forced) :])]
        return Decoded(tokens, languages[0], self.evidence, False, None, audio.samples // 160)

    def detect(self, audio: Any) -> dict[str, float]:
        return self.scores

    def align(self, decoded: Decoded) -> Alignment:
        places = [number * self.WORD for number in range(len(decoded.tokens) + 1)]
        return Alignment(places, [0.5] * len(decoded.tokens))


class Owner:
    """A recogniser of one ``Speaker``."""

    def __init__(self, share: float = 0.5) -> None:
        self.vocabulary = Letters()
        self.partial_share = share
        self.speaking = 0
        self.speaker = Speaker()

    def decoder(self) -> Any:
        return self.speaker


def say(letters: str, word: int = Speaker.WORD) -> np.ndarray:
    """Audio of these letters; a space is silence."""
    values = [0 if letter == " " else 100 * (ord(letter) - 96) for letter in letters]
    return np.repeat(np.array(values, np.int16), word)


def spoken(samples: np.ndarray) -> str:
    """Return the letters of the audio; a stretch of one value is one letter for each ``WORD`` samples begun."""
    edges = np.flatnonzero(np.diff(samples)) + 1
    found = []
    for part in np.split(samples, edges):
        if len(part) and part[0]:
            found.append(chr(96 + part[0] // 100) * -(-len(part) // Speaker.WORD))
    return "".join(found)
