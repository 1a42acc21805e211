"""Streaming conversion to 16 kHz. The output does not depend on how the input was cut, and its length is exact."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from appliance.audio.pcm import Mono, as_float, as_int16
from appliance.core.events import RATE


class Resampler:
    """soxr in float32: its int16 path adds dither, which would make the result depend on the cuts.

    Holds back 9 to 36 ms of audio while streaming; ``flush`` gives it out. ``n`` samples at ``rate`` become
    ``n * 16000 / rate`` samples, rounded to nearest. 16 kHz passes through bit for bit.
    """

    def __init__(self, rate: int) -> None:
        self._stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")

    def push(self, samples: Mono) -> NDArray[np.int16]:
        """The next samples at the input rate; those at 16 kHz that are complete."""
        if self._stream is None:
            return as_int16(samples)
        return as_int16(self._stream.resample_chunk(as_float(samples)))

    def flush(self) -> NDArray[np.int16]:
        """The end of the stream. Nothing may be pushed after it."""
        if self._stream is None:
            return np.empty(0, np.int16)
        return as_int16(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
