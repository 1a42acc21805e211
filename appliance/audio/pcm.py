"""Bytes of any wire encoding to mono samples, however the bytes were cut into messages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from appliance.audio.mix import Downmix
from appliance.core.options import AudioFormat, Encoding
from appliance.core.problems import Kind, Refused
from appliance.core.riff import contradiction, is_wav, riff_header

Mono = NDArray[np.int16] | NDArray[np.float32]
"""int16 where the wire was s16le mono, bit for bit; otherwise float32 between -1 and 1."""


def _mulaw() -> NDArray[np.float32]:
    """ITU-T G.711 mu-law, all 256 codes."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4) & 7
    magnitude = ((((code & 15).astype(np.int32) << 3) + 132) << exponent) - 132
    return (np.where(code & 128, -magnitude, magnitude) / 32_768).astype(np.float32)


def _alaw() -> NDArray[np.float32]:
    """ITU-T G.711 A-law, all 256 codes."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    mantissa = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 256) << np.maximum(exponent - 1, 0))
    return (np.where(code & 128, magnitude, -magnitude) / 32_768).astype(np.float32)


MULAW, ALAW = _mulaw(), _alaw()


def _finite(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)


DECODERS: dict[Encoding, Callable[[bytes], Mono]] = {
    Encoding.S16LE: lambda data: np.frombuffer(data, "<i2").astype(np.int16, copy=False),
    Encoding.S32LE: lambda data: (np.frombuffer(data, "<i4") / 2**31).astype(np.float32),
    Encoding.F16LE: lambda data: _finite(np.frombuffer(data, "<f2").astype(np.float32)),
    Encoding.F32LE: lambda data: _finite(np.frombuffer(data, "<f4").astype(np.float32, copy=False)),
    Encoding.MULAW: lambda data: MULAW[np.frombuffer(data, np.uint8)],
    Encoding.ALAW: lambda data: ALAW[np.frombuffer(data, np.uint8)],
}


def as_float(samples: Mono) -> NDArray[np.float32]:
    """Samples as float32 between -1 and 1."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32_768)
    return samples.astype(np.float32, copy=False)


def as_int16(samples: Mono) -> NDArray[np.int16]:
    """Samples as int16, rounded to nearest and clipped; int16 passes through untouched."""
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    scaled: NDArray[np.float32] = np.rint(samples * np.float32(32_768))
    return np.clip(scaled, -32_768, 32_767).astype(np.int16)


def volume(samples: NDArray[np.int16]) -> float:
    """Root mean square, 1 being full scale; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) / 32_768 if len(samples) else 0.0


def level(samples: NDArray[np.int16]) -> float:
    """Root mean square in dBFS; -100 for digital silence or no samples."""
    loud = volume(samples)
    return max(-100.0, 20 * float(np.log10(loud))) if loud else -100.0


def clipped(samples: NDArray[np.int16]) -> int:
    """How many samples stand at either end of the range."""
    return int(np.count_nonzero((samples >= 32_767) | (samples <= -32_768)))


class PcmDecoder:
    """Decoder of one stream. Carries what one message leaves over to the next: cut samples, and incomplete headers.

    WAV headers are left out: the one in front of everything, however it is cut, and the one at the beginning of any
    later message. ``header`` counts the bytes that were left out so far.
    """

    def __init__(self, audio: AudioFormat, *, riff: bool = True) -> None:
        """``riff``: the stream may begin with a header. A stream that continues another one does not."""
        self.header = 0
        self._audio = audio
        self._decode = DECODERS[audio.encoding]
        self._downmix = Downmix(audio.channels, audio.rate)
        self._rest = b""
        self._at_start = riff
        self._frames = 0
        self._skips: list[tuple[int, int]] = []
        """For each header: the frames before it, and the bytes left out up to its end."""

    def push(self, data: bytes, *, begins: bool = False) -> Mono:
        """Return the whole samples in ``data`` and in what was left over, mixed down to mono.

        ``begins``: a message of the client begins with ``data``. Raises ``Refused`` (BAD_AUDIO) for a WAV header that
        contradicts the format of the stream: its samples would become wrong words.
        """
        if begins and not self._at_start and is_wav(data):
            self._skip(len(self._rest))  # a part of a sample at the end of the file before is no audio
            self._rest, self._at_start = b"", True
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._at_start:
            skip = riff_header(data)
            if skip is None:
                self._rest = data
                return np.empty(0, np.int16)
            if wrong := contradiction(data[:skip], self._audio):
                raise Refused(Kind.BAD_AUDIO, wrong)
            self._at_start = False
            self._skip(skip)
            data = data[skip:]
        whole = len(data) - len(data) % self._audio.frame_bytes
        if whole != len(data):
            self._rest = data[whole:]
            data = data[:whole]
        self._frames += whole // self._audio.frame_bytes
        samples = self._decode(data)
        if self._audio.channels == 1:
            return samples
        return self._downmix.push(as_float(samples).reshape(-1, self._audio.channels))

    def flush(self) -> Mono:
        """Return what was held back as a possible header when the stream ended before that was known."""
        self._at_start = False
        return self.push(b"")

    def skipped(self, frames: int) -> int:
        """Return the bytes left out before frame number ``frames``, which must not decrease from call to call."""
        while len(self._skips) > 1 and self._skips[1][0] <= frames:
            del self._skips[0]
        return self._skips[0][1] if self._skips and self._skips[0][0] <= frames else 0

    def _skip(self, size: int) -> None:
        if size:
            self.header += size
            self._skips.append((self._frames, self.header))
