"""Speech that the embedded recogniser understands, in the formats in which applications send it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from msgspec import Struct

from appliance.text.errors import plain_words, word_errors
from tests.speech import silence, spoken

ENCODINGS = {
    "pcm_s16le": "PCM_16",
    "pcm_s32le": "PCM_32",
    "pcm_f32le": "FLOAT",
    "pcm_mulaw": "ULAW",
    "pcm_alaw": "ALAW",
}
"""Names on the wire, and libsndfile's."""
BYTES = {"pcm_s16le": 2, "pcm_s32le": 4, "pcm_f16le": 2, "pcm_f32le": 4, "pcm_mulaw": 1, "pcm_alaw": 1}
FIRST = "we are going to the city on monday"
SECOND = "what time is it now"
THIRD = "thank you very much for your help"
NUMBER, DIGITS = "we have twenty seven people here", "we have 27 people here"
TELEPHONE = "yes no stop"
"""Understood by the kiosk's recogniser over the telephone band, which the other one does not know."""


class Audio(Struct, frozen=True):
    """A file, and the bytes of 100 ms of its samples."""

    path: Path
    chunk: int


def samples(*sentences: str, pause_s: float = 1.2, after_s: float = 1.0) -> bytes:
    """The sentences with pauses between; s16le mono at 16 kHz."""
    pieces = [spoken(sentence, 0.3, pause_s - 0.3) for sentence in sentences[:-1]]
    return b"".join(pieces) + spoken(sentences[-1], 0.3, 0.0) + silence(after_s)


def recorded(
    folder: Path,
    *sentences: str,
    rate: int = 16_000,
    encoding: str = "pcm_s16le",
    pause_s: float = 1.2,
    after_s: float = 1.0,
) -> Audio:
    """The sentences as a file: a WAV for ``pcm_s16le``, raw for the rest."""
    audio = np.frombuffer(samples(*sentences, pause_s=pause_s, after_s=after_s), "<i2")
    if rate != 16_000:
        audio = soxr.resample(audio, 16_000, rate)
    path = folder / f"speech-{rate}.{'wav' if encoding == 'pcm_s16le' else encoding}"
    if encoding == "pcm_f16le":
        path.write_bytes((audio.astype(np.float32) / 32768).astype("<f2").tobytes())
    else:
        raw = encoding != "pcm_s16le"
        target = io.BytesIO()
        audio = audio.astype(np.float32) / 32768  # of integers, libsndfile would make large floats
        soundfile.write(target, audio, rate, ENCODINGS[encoding], "LITTLE", "RAW" if raw else "WAV")
        path.write_bytes(target.getvalue())
    return Audio(path, rate // 10 * BYTES[encoding])


def words(texts: Iterable[str]) -> list[str]:
    """Lower case, without punctuation."""
    return plain_words(" ".join(texts))


def understood(texts: Iterable[str], *sentences: str, errors: int = 1) -> None:
    """Assert that the texts together are the sentences, but for so many words."""
    heard, wanted = words(texts), words(sentences)
    assert word_errors(wanted, heard) <= errors, f"heard {' '.join(heard)!r}, wanted {' '.join(wanted)!r}"
