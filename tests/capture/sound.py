"""A sound to play, and the comparison of what was heard with it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

PLAYED_RATE = 48_000
EDGE_S = 0.3
"""Seconds at either end by which beginning and end of the sound are found."""


def sound(seconds: float) -> NDArray[np.int16]:
    """A chirp from 200 to 3400 Hz, which every rate can carry, in noise of its own so that each moment is unique."""
    time = np.arange(int(seconds * PLAYED_RATE)) / PLAYED_RATE
    chirp = np.sin(2 * np.pi * (200 + 1_600 * time / seconds) * time)
    noise = soxr.resample(np.random.default_rng(1).standard_normal(int(seconds * 7_000)), 7_000, PLAYED_RATE)
    noise = np.resize(noise, time.size)
    samples: NDArray[np.int16] = (6_000 * chirp + 3_000 * noise).clip(-32_768, 32_767).astype(np.int16)
    return samples


def write_wav(path: Path, samples: NDArray[np.int16]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(PLAYED_RATE)
        file.writeframes(samples.tobytes())
    return path


def compare(played: NDArray[np.int16], heard: bytes, rate: int) -> tuple[float, float]:
    """Correlation of ``played`` with the same stretch of ``heard`` (s16le at ``rate``), and by how much it is longer.

    The second is in seconds: how much later the end of the sound comes after its beginning than it should. Compared at
    the rate of what was played: at 8 kHz half a sample of offset would cost a tenth of the correlation.
    """
    expected = played.astype(np.float32)
    samples = soxr.resample(np.frombuffer(heard, np.int16).astype(np.float32), rate, PLAYED_RATE)
    edge = int(EDGE_S * PLAYED_RATE)
    start, end = _position(expected[:edge], samples), _position(expected[-edge:], samples) + edge
    stretch = samples[start : start + expected.size]
    correlation = float(np.corrcoef(expected[: stretch.size], stretch)[0, 1])
    return correlation, (end - start - expected.size) / PLAYED_RATE


def _position(part: NDArray[np.float32], whole: NDArray[np.float32]) -> int:
    """Where ``part`` is in ``whole``, by the peak of the cross-correlation."""
    size = 1 << (whole.size + part.size).bit_length()
    product = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    return int(np.argmax(np.fft.irfft(product, size)[: whole.size]))
