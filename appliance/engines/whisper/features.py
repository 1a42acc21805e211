"""Log-mel spectrogram of one utterance, computed as its samples arrive.

The recipe is that of OpenAI's Whisper (``whisper/audio.py``): 25 ms Hann windows every 10 ms, power spectrum, Slaney
mel filters, log10, a dynamic range of 8, shift and scale. Frames are computed once, so partials and the final of the
same audio share them; only the normalisation, which depends on the loudest frame, is repeated.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from appliance.core.events import RATE
from appliance.core.ports import Samples

Frames = NDArray[np.float32]

WINDOW = RATE // 40
"""Samples of one window: 25 ms."""
HOP = RATE // 100
"""Samples between two frames: 10 ms."""
FRAMES_PER_SECOND = RATE // HOP
FLOOR = 1e-10
"""Smallest power before the logarithm."""
RANGE = 8.0
"""Decades below the loudest bin that are kept."""


class Spectrogram:
    """Frames of one utterance. ``push`` audio, then ask for ``features`` as often as needed."""

    def __init__(self, bins: int) -> None:
        self._filters = mel_filters(bins)
        self._clear()

    def _clear(self) -> None:
        self.samples = 0
        """Samples pushed since the utterance began."""
        self._audio: list[Samples] = []
        self._frames: list[Frames] = []
        self._rest = np.zeros(0, np.float32)
        """Audio that does not fill a window yet; each window is computed when it is full."""
        self._mirrored = False
        """The audio before the first sample has been put before it, for which half a window must be there."""

    def push(self, samples: Samples) -> None:
        """Append int16 samples at 16 kHz and compute the frames that they complete."""
        self._audio.append(samples)
        self.samples += len(samples)
        self._rest = np.concatenate((self._rest, samples.astype(np.float32) * np.float32(1 / 32_768)))
        if not self._mirrored:
            if self.samples <= WINDOW // 2:
                return
            self._rest = _mirrored(self._rest)
            self._mirrored = True
        count = (len(self._rest) - WINDOW) // HOP + 1
        if count > 0:
            self._frames.append(self._transform(self._rest, count))
            self._rest = self._rest[count * HOP :]

    def features(self, frames: int) -> Frames:
        """Return normalised features, shape ``(bins, frames)``: the utterance, then digital silence.

        ``frames`` below the utterance's own length cut its end off.
        """
        rest = self._rest if self._mirrored else _mirrored(self._rest)
        silence = np.concatenate((rest, np.zeros(WINDOW, np.float32)))
        tail = self._transform(silence, (len(rest) - 1) // HOP + 1)
        spectrum = np.concatenate((*self._frames, tail), axis=1)[:, :frames]
        if spectrum.shape[1] < frames:
            quiet = np.full((spectrum.shape[0], frames - spectrum.shape[1]), np.float32(np.log10(FLOOR)))
            spectrum = np.concatenate((spectrum, quiet), axis=1)
        spectrum = np.maximum(spectrum, spectrum.max() - RANGE)
        return np.ascontiguousarray((spectrum + 4.0) / 4.0, dtype=np.float32)

    def levels(self) -> NDArray[np.float32]:
        """Return the mean log power of each finished frame, shape ``(n,)``, for finding a quiet place."""
        if not self._frames:
            return np.zeros(0, np.float32)
        levels: NDArray[np.float32] = np.concatenate(self._frames, axis=1).mean(axis=0)
        return levels

    def split(self, samples: int) -> Spectrogram:
        """Keep the first ``samples`` of the utterance and return the rest as the beginning of another one."""
        audio = np.concatenate(self._audio) if self._audio else np.zeros(0, np.int16)
        rest = Spectrogram(len(self._filters))
        self._clear()
        for target, part in ((self, audio[:samples]), (rest, audio[samples:])):
            if len(part):
                target.push(part)
        return rest

    def clear(self) -> None:
        """Forget everything."""
        self._clear()

    def _transform(self, audio: NDArray[np.float32], count: int) -> Frames:
        """Return log-mel frames, shape ``(bins, count)``, of windows that start every HOP samples.

        Double precision, rounded once at the end: the last bits of single precision depend on how the audio was
        cut and where it lies in memory, and on unclear speech they decide about words.
        """
        windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[: count * HOP : HOP]
        spectrum = np.fft.rfft(windows * hann())
        mel = self._filters @ (spectrum.real**2 + spectrum.imag**2).T
        frames: Frames = np.log10(np.maximum(mel, FLOOR)).astype(np.float32)
        return frames


def _mirrored(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the audio behind its own first half window in reverse: the first window is centred on the first sample."""
    head = audio[1 : WINDOW // 2 + 1]
    head = np.pad(head, (0, WINDOW // 2 - len(head)))
    return np.concatenate((head[::-1], audio))


@lru_cache
def hann() -> NDArray[np.float64]:
    """Return the periodic Hann window, shape ``(WINDOW,)``."""
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return window


@lru_cache
def mel_filters(bins: int) -> NDArray[np.float64]:
    """Return triangular mel filters with Slaney's scale and area normalisation, shape ``(bins, WINDOW // 2 + 1)``."""
    edges = _hertz(np.linspace(0.0, _mel(RATE / 2), bins + 2))
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    ramps = edges[:, None] - frequencies[None, :]
    width = np.diff(edges)
    rising = -ramps[:-2] / width[:-1, None]
    falling = ramps[2:] / width[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def _mel(hertz: float) -> float:
    """Slaney's scale: linear below 1 kHz (15 mel), logarithmic above."""
    return 15.0 + 27.0 * float(np.log(hertz / 1000.0)) / float(np.log(6.4)) if hertz >= 1000.0 else hertz * 3 / 200


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.where(
        mel >= 15.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)), mel * 200 / 3
    )
    return result
