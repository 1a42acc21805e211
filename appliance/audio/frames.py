"""Any chunking in, exact frames out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Framer:
    """Cuts a stream of samples into rows of ``size`` samples; the remainder waits for the next push."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest: NDArray[np.int16] = np.empty(0, np.int16)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """All complete frames, shape ``(n, size)``."""
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) - len(samples) % self._size
        self._rest = samples[whole:]
        return samples[:whole].reshape(-1, self._size)

    def take(self) -> NDArray[np.int16]:
        """The samples that do not fill a frame; they are gone from here."""
        rest, self._rest = self._rest, np.empty(0, np.int16)
        return rest
