"""Signals to hear, without a recording: silence and voice as an energy detector knows them, in every wire encoding."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np

from appliance.audio.pcm import ALAW, MULAW
from appliance.core.options import WIDTH, AudioFormat, Encoding

FLOOR, LOUD = 30, 8_000
"""Amplitudes: -60 dBFS and -12 dBFS, well below and above -45."""


def noise(*stretches: tuple[bool, int], seed: int = 0) -> np.ndarray:
    """int16 noise; each stretch is (voiced, samples). No two pieces of it are alike."""
    generator = np.random.default_rng(seed)
    parts = [generator.integers(-LOUD if loud else -FLOOR, LOUD if loud else FLOOR, n) for loud, n in stretches]
    return np.concatenate([np.empty(0, int), *parts]).astype(np.int16)


def speech(*durations_ms: int, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Silence, voice, silence, voice and so on, each this many milliseconds long."""
    return noise(*((bool(i % 2), ms * rate // 1000) for i, ms in enumerate(durations_ms)), seed=seed)


def tone(hertz: float, rate: int, samples: int, amplitude: float = 0.5) -> np.ndarray:
    """A sine as float32."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


def encode(samples: np.ndarray, encoding: Encoding) -> bytes:
    """int16 samples as the bytes of a wire encoding."""
    match encoding:
        case Encoding.S16LE:
            return samples.astype("<i2").tobytes()
        case Encoding.S32LE:
            return (samples.astype("<i4") << 16).tobytes()
        case Encoding.F16LE:
            return (samples / 32_768).astype("<f2").tobytes()
        case Encoding.F32LE:
            return (samples / 32_768).astype("<f4").tobytes()
        case Encoding.MULAW | Encoding.ALAW:
            table = MULAW if encoding is Encoding.MULAW else ALAW
            order = np.argsort(table, kind="stable")
            middle = (table[order][1:] + table[order][:-1]) / 2
            return order[np.searchsorted(middle, samples / 32_768)].astype(np.uint8).tobytes()


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """A WAV file as the standard library writes it: 44 bytes of header."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


TAGS = {
    Encoding.S16LE: 1, Encoding.S32LE: 1, Encoding.F16LE: 3, Encoding.F32LE: 3, Encoding.ALAW: 6, Encoding.MULAW: 7
}  # fmt: skip
"""Format tag in a WAV header of each encoding (mmreg.h)."""


def wav_header(audio: AudioFormat, *, extensible: bool = False) -> bytes:
    """A WAV header of 44 bytes (68 when extensible) for a stream of this format and of unknown length."""
    tag, bits = TAGS[audio.encoding], 8 * WIDTH[audio.encoding]
    numbers = (audio.channels, audio.rate, audio.bytes_per_second, audio.frame_bytes, bits)
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, *numbers)
    if extensible:
        form += struct.pack("<HHIH14x", 22, bits, 0, tag)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(form)) + form + b"data\xff\xff\xff\xff"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places, which may be in any order and repeat."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
