"""The canary: a short phrase that every recogniser must get right, to prove that a box hears."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["RATE", "TEXT", "Canary", "load", "same"]

RATE = 16_000
TEXT = "six seven eight nine ten"
DIGITS = {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
FILE = Path(__file__).with_name("phrase.wav")
SOUND = 200
"""Louder than this (of 32,768) is sound, not the synthesiser's own silence."""


class Canary(Struct, frozen=True, kw_only=True):
    """``samples``: mono at 16 kHz; half a second of silence, ``text``, and silence enough for it to be endpointed."""

    text: str
    samples: NDArray[np.int16]

    @property
    def speech_end_s(self) -> float:
        """Where the last sound is, in seconds from the beginning."""
        sound = np.flatnonzero(np.abs(self.samples.astype(np.int32)) > SOUND)
        return float(sound[-1] + 1) / RATE


def same(wanted: str, heard: str) -> bool:
    """Tell whether two texts of the phrase have the same words.

    One model writes "six seven eight nine ten", another "6, 7, 8, 9, 10." or "678910".
    """
    return bool(heard) and _digits(wanted) == _digits(heard)


def _digits(text: str) -> str:
    return "".join(DIGITS.get(word, word) for word in re.findall(r"[^\W\d_]+|\d+", text.lower()))


def load() -> Canary:
    """Read it from the package. Raises ``OSError`` and ``wave.Error`` for a broken installation."""
    with wave.open(str(FILE)) as audio:
        if (audio.getframerate(), audio.getnchannels(), audio.getsampwidth()) != (RATE, 1, 2):
            raise wave.Error(f"{FILE} is not mono s16le at {RATE} Hz")
        data = audio.readframes(audio.getnframes())
    return Canary(text=TEXT, samples=np.frombuffer(data, "<i2").astype(np.int16, copy=False))
