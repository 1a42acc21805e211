"""Bytes of any wire encoding to mono samples, however the bytes were cut into messages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from appliance.audio.mix import Downmix
from appliance.core.options import AudioFormat, Encoding

Mono = NDArray[np.int16] | NDArray[np.float32]
"""int16 where the wire was s16le mono, bit for bit; otherwise float32 between -1 and 1."""

HEADER_LIMIT = 65_536
"""Bytes after which a RIFF header without a data chunk is taken for audio; real ones end within some hundred."""


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
    """Carries what one message leaves over to the next: cut samples, and a RIFF header in front of everything.

    ``header`` is how many bytes of header were skipped, which matters to whoever counts bytes.
    """

    def __init__(self, audio: AudioFormat, *, riff: bool = True) -> None:
        self.header = 0
        self._audio = audio
        self._decode = DECODERS[audio.encoding]
        self._downmix = Downmix(audio.channels, audio.rate)
        self._rest = b""
        self._at_start = riff

    def push(self, data: bytes) -> Mono:
        """Whole samples out of ``data`` and what was left over, mixed down to mono."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._at_start:
            skip = riff_header(data)
            if skip is None:
                self._rest = data
                return np.empty(0, np.int16)
            self._at_start = False
            self.header = skip
            data = data[skip:]
        whole = len(data) - len(data) % self._audio.frame_bytes
        if whole != len(data):
            self._rest = data[whole:]
            data = data[:whole]
        samples = self._decode(data)
        if self._audio.channels == 1:
            return samples
        return self._downmix.push(as_float(samples).reshape(-1, self._audio.channels))

    def flush(self) -> Mono:
        """What was held back as a possible header when the stream ended before it could be told."""
        self._at_start = False
        return self.push(b"")


def riff_header(data: bytes) -> int | None:
    """Length of the RIFF/WAVE header ``data`` begins with, 0 when it has none, ``None`` when more is needed."""
    if not b"RIFF".startswith(data[:4]) or (len(data) >= 12 and data[8:12] != b"WAVE"):
        return 0
    at = 12
    while at + 8 <= min(len(data), HEADER_LIMIT):
        if data[at : at + 4] == b"data":
            return at + 8
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return 0 if at + 8 > HEADER_LIMIT else None
