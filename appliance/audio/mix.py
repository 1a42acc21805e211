"""Several channels to one, also where the channels cancel each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCKS_PER_SECOND = 50
"""Blocks for which the powers are measured. They are counted in frames, so that the cuts of a stream change nothing."""
KEPT = 0.99
"""Share of the measured powers that remains after a block: they describe the last two seconds, loud ones above all."""
CANCELLED = 0.1
"""The mix has less than this share of the power that it would have if the channels were independent of each other.

A pair of channels of which one is inverted leaves what the channels do not share, far below 10 %.
"""
LOUDER = 2.0
"""A channel replaces the chosen one when it has so many times its power. Every change is a step in the signal."""


class Downmix:
    """Mean of all channels, or the loudest channel while the channels cancel each other.

    Channels cancel when one is the inverse of another, as a balanced microphone cable that is wired wrong delivers it.
    The choice for a block depends on the blocks before it only, so nothing is delayed.
    """

    def __init__(self, channels: int, rate: int) -> None:
        """``channels`` is the number of interleaved channels, ``rate`` the frames per second."""
        self._block = max(1, rate // BLOCKS_PER_SECOND)
        self._filled = 0
        self._powers = np.zeros(channels)
        self._mixed = 0.0
        self._loudest: int | None = None
        """The channel to take instead of the mean."""

    def push(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one sample for each row of ``frames`` (frames x channels, -1 to 1)."""
        mono: NDArray[np.float32] = frames.mean(axis=1, dtype=np.float32)
        if len(self._powers) == 1:
            return mono
        start = 0
        while start < len(frames):
            end = min(len(frames), start + self._block - self._filled)
            part = frames[start:end].astype(np.float64)
            self._powers += np.einsum("ij,ij->j", part, part)
            mean = part.mean(axis=1)
            self._mixed += float(np.dot(mean, mean))
            if self._loudest is not None:
                mono[start:end] = frames[start:end, self._loudest]
            self._filled += end - start
            start = end
            if self._filled == self._block:
                self._choose()
        return mono

    def _choose(self) -> None:
        """Decide for the next block."""
        independent = self._powers.sum() / len(self._powers) ** 2
        if self._mixed >= CANCELLED * independent:
            self._loudest = None
        elif self._loudest is None or self._powers.max() > LOUDER * self._powers[self._loudest]:
            self._loudest = int(self._powers.argmax())
        self._powers *= KEPT
        self._mixed *= KEPT
        self._filled = 0
