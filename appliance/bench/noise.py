"""Sounds that are no speech, made from a fixed seed: for counting words that a recogniser invents."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from appliance.core.events import RATE

Sound = NDArray[np.float64]

LEVELS_DB = (-50, -35, -20)
"""Root mean square of each sound relative to full scale."""


def sounds(seconds: float) -> Iterator[tuple[str, bytes]]:
    """Yield each sound's name and its samples (s16le, mono, 16 kHz), ``seconds`` long, at each level."""
    for name, make in SOUNDS.items():
        for level in LEVELS_DB:
            sound = make(np.random.default_rng(7), int(seconds * RATE))
            sound = sound / max(1e-9, float(np.sqrt(np.mean(sound**2)))) * 10 ** (level / 20) * 32_767
            yield f"{name} {level} dB", np.clip(sound, -32_768, 32_767).astype("<i2").tobytes()
    yield "digital silence", bytes(2 * int(seconds * RATE))


def _coloured(random: np.random.Generator, count: int, exponent: float) -> Sound:
    """Return noise whose power falls with frequency to the power of ``exponent``."""
    spectrum = np.fft.rfft(random.normal(size=count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    frequency[0] = frequency[1]
    noise: Sound = np.fft.irfft(spectrum / frequency ** (exponent / 2), count)
    return noise


def _band(random: np.random.Generator, count: int, low: float, high: float) -> Sound:
    spectrum = np.fft.rfft(random.normal(size=count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    noise: Sound = np.fft.irfft(spectrum, count)
    return noise


def _breathing(random: np.random.Generator, count: int) -> Sound:
    """In and out every 4 s, in the band of breath."""
    time = np.arange(count) / RATE
    rhythm: Sound = np.maximum(0.0, np.sin(2 * np.pi * time / 2.0)) ** 2
    return _band(random, count, 300, 3_500) * rhythm


def _struck(random: np.random.Generator, count: int, per_second: float, ring_hz: float, decay_s: float) -> Sound:
    """Blows at random times, each ringing at about ``ring_hz`` for ``decay_s``."""
    sound = random.normal(scale=1e-3, size=count)
    time = np.arange(int(RATE * decay_s * 6)) / RATE
    for at in np.sort(random.integers(0, count, int(per_second * count / RATE))):
        hertz = ring_hz * random.uniform(0.7, 1.4)
        blow = np.exp(-time / decay_s) * (np.sin(2 * np.pi * hertz * time) + random.normal(scale=0.7, size=len(time)))
        end = min(count, at + len(blow))
        sound[at:end] += blow[: end - at] * random.uniform(0.3, 1.0)
    return sound


def _keyboard(random: np.random.Generator, count: int) -> Sound:
    return _struck(random, count, 7.0, 2_500, 0.006)


def _knocks(random: np.random.Generator, count: int) -> Sound:
    return _struck(random, count, 1.5, 180, 0.04)


def _dishes(random: np.random.Generator, count: int) -> Sound:
    return _struck(random, count, 2.0, 3_800, 0.08)


def _tones(random: np.random.Generator, count: int) -> Sound:
    """A new pitch every half second."""
    pitch = np.repeat(random.uniform(100, 2_000, count // 8_000 + 1), 8_000)[:count]
    return np.sin(2 * np.pi * np.cumsum(pitch) / RATE)


def _sweep(random: np.random.Generator, count: int) -> Sound:
    time = np.arange(count) / RATE
    return np.sin(2 * np.pi * np.cumsum(200 + 1_800 * (0.5 - 0.5 * np.cos(2 * np.pi * time / 3))) / RATE)


def _ringing(random: np.random.Generator, count: int) -> Sound:
    """A telephone: two tones, 2 s on and 4 s off."""
    time = np.arange(count) / RATE
    return (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)) * (time % 6 < 2)


def _chords(random: np.random.Generator, count: int) -> Sound:
    """Something like an organ, a chord a second."""
    time = np.arange(count) / RATE
    sound = np.zeros(count)
    for start in range(0, count, RATE):
        part = time[start : start + RATE]
        root = 110 * 2 ** (random.integers(0, 24) / 12)
        for ratio in (1.0, 1.25, 1.5):
            for harmonic in range(1, 6):
                sound[start : start + RATE] += np.sin(2 * np.pi * root * ratio * harmonic * part) / harmonic
    return sound


def _hum(random: np.random.Generator, count: int) -> Sound:
    """Mains hum with its harmonics and a fan."""
    time = np.arange(count) / RATE
    hum = sum((np.sin(2 * np.pi * 50 * n * time) / n for n in range(1, 8)), np.zeros(count))
    return hum + _band(random, count, 60, 900)


SOUNDS: dict[str, Callable[[np.random.Generator, int], Sound]] = {
    "white noise": lambda random, count: _coloured(random, count, 0.0),
    "pink noise": lambda random, count: _coloured(random, count, 1.0),
    "brown noise": lambda random, count: _coloured(random, count, 2.0),
    "breathing": _breathing,
    "keyboard": _keyboard,
    "knocks": _knocks,
    "dishes": _dishes,
    "tones": _tones,
    "sweep": _sweep,
    "ringing": _ringing,
    "chords": _chords,
    "hum": _hum,
}
