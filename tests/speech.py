"""Speech made on the spot, and small helpers on samples. s16le mono at 16 kHz everywhere."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest

from appliance.cli.speech import say


@cache
def spoken(text: str, before_s: float = 0.3, after_s: float = 1.0) -> bytes:
    """flite's voice with silence around it."""
    if shutil.which("flite") is None:
        pytest.skip("the Debian package flite is missing")
    return silence(before_s) + say(text) + silence(after_s)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * 16_000))


def tone(seconds: float, *, level: int = 8_000, marker: int | None = None) -> bytes:
    """A 300 Hz tone, which the energy detector takes for voice; its first sample can be a marker."""
    samples = (np.sin(np.arange(int(seconds * 16_000)) * 2 * np.pi * 300 / 16_000) * level).astype("<i2")
    if marker is not None:
        samples[0] = marker
    return samples.tobytes()
