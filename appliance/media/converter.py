"""Frames as FFmpeg decodes them to the samples of a session: int16, mono, 16 kHz."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.audio.mix import Downmix
from appliance.audio.resample import Resampler

BATCH_S = 0.25
"""Audio that is mixed and resampled at a time; frames of some codecs have 20 ms."""
SCALE: dict[str, tuple[float, float]] = {
    "u1": (128.0, 1 / 128),
    "i2": (0.0, 1 / 2**15),
    "i4": (0.0, 1 / 2**31),
    "i8": (0.0, 1 / 2**63),
    "f4": (0.0, 1.0),
    "f8": (0.0, 1.0),
}
"""What is subtracted and by what the rest is multiplied to give -1 to 1, by type of sample."""


class Converter:
    """FFmpeg's frames to int16 mono at 16 kHz. Rate and channels may change between frames, as in joined files."""

    def __init__(self, batch_s: float = BATCH_S) -> None:
        """``batch_s`` is the audio in seconds that is converted at a time; 0 converts each frame."""
        self._batch_s = batch_s
        self._rate = self._channels = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._frames = 0
        self._mix = Downmix(1, 16_000)
        self._resampler = Resampler(16_000)

    def push(self, frame: Any) -> NDArray[np.int16]:
        """Return the samples that are complete with ``frame``; often none."""
        rate, channels = frame.sample_rate, len(frame.layout.channels) or frame.layout.nb_channels
        done: list[NDArray[np.int16]] = []
        if (rate, channels) != (self._rate, self._channels):
            done.append(self.flush())
            self._rate, self._channels = rate, channels
            self._mix, self._resampler = Downmix(channels, rate), Resampler(rate)
        values = floats(frame.to_ndarray())
        self._waiting.append(values.T if frame.format.is_planar else values.reshape(-1, channels))
        self._frames += len(self._waiting[-1])
        if self._frames >= self._batch_s * rate:
            done.append(self._convert())
        return np.concatenate(done) if done else np.empty(0, np.int16)

    def flush(self) -> NDArray[np.int16]:
        """Return what is held back. A frame of another rate may follow."""
        if not self._rate:
            return np.empty(0, np.int16)
        rest = self._convert()
        self._rate = 0
        return np.concatenate([rest, self._resampler.flush()])

    def _convert(self) -> NDArray[np.int16]:
        if not self._waiting:
            return np.empty(0, np.int16)
        frames = np.concatenate(self._waiting)
        self._waiting, self._frames = [], 0
        return self._resampler.push(self._mix.push(frames))


def floats(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples of any type as float32 between -1 and 1; what is no number becomes 0."""
    offset, scale = SCALE[samples.dtype.str[1:]]
    if samples.dtype.kind != "f":
        return ((samples - np.float32(offset)) * np.float32(scale)).astype(np.float32)
    values = np.nan_to_num(samples.astype(np.float32, copy=False), nan=0.0, posinf=1.0, neginf=-1.0)
    clipped: NDArray[np.float32] = np.clip(values, -1.0, 1.0)
    return clipped
