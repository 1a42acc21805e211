"""Audio files of all kinds, made in memory: by libsndfile where samples must be exact, else by PyAV."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import soundfile

RATE = 16_000


class Sink:
    """Takes bytes as a pipe does: without seeking, so that no header can be completed."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def written(samples: np.ndarray, container: str = "WAV", codec: str = "PCM_16", rate: int = RATE) -> bytes:
    """Return the bytes of a file as libsndfile writes it."""
    target = io.BytesIO()
    if codec == "FLOAT" and samples.dtype == np.int16:
        samples = samples / 32_768  # libsndfile does not scale them
    soundfile.write(target, samples, rate, codec, format=container)
    return target.getvalue()


ENCODED = {
    "webm": ("webm", "libopus", 48_000),
    "mkv": ("matroska", "flac", RATE),
    "m4a": ("ipod", "aac", RATE),
    "mp4": ("mp4", "aac", RATE),
    "mp4 fragments": ("mp4", "aac", RATE),
    "aac": ("adts", "aac", RATE),
    "flac": ("flac", "flac", RATE),
    "mp3": ("mp3", "libmp3lame", RATE),
    "mp3 vbr": ("mp3", "libmp3lame", RATE),
    "opus": ("ogg", "libopus", 48_000),
    "ts": ("mpegts", "aac", RATE),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "wma": ("asf", "wmav2", RATE),
    "mulaw": ("wav", "pcm_mulaw", RATE),
    "aiff": ("aiff", "pcm_s16be", RATE),
    "au": ("au", "pcm_s16be", RATE),
    "caf": ("caf", "pcm_s16le", RATE),
    "w64": ("w64", "pcm_s16le", RATE),
}
"""Name -> format, codec and sample rate, as FFmpeg calls them."""
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
VBR = {"flags": "+qscale", "global_quality": str(9 * 118)}


def encoded(samples: np.ndarray, kind: str, *, pipe: bool = False) -> bytes:
    """Return a file of int16 ``samples`` at 16 kHz. With ``pipe``, its writer could not seek."""
    container, codec, rate = ENCODED[kind]
    target: Any = Sink() if pipe else io.BytesIO()
    options = FRAGMENTS if kind == "mp4 fragments" else {}
    with av.open(target, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono", options=VBR if kind == "mp3 vbr" else {})
        if kind == "wma":
            stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(resampled(samples, rate).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for given in (frame, None):
            for packet in stream.encode(given):
                output.mux(packet)
    return bytes(target.data) if pipe else target.getvalue()


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return 16 kHz samples at another rate, by linear interpolation."""
    count = len(samples) * rate // RATE
    return np.interp(np.arange(count) * RATE / rate, np.arange(len(samples)), samples).astype(np.int16)


def video() -> bytes:
    """Return an MP4 file with pictures and no audio."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output:
        stream: Any = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for given in (frame, None):
            for packet in stream.encode(given):
                output.mux(packet)
    return target.getvalue()


def alike(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the correlation of the middle of ``expected`` with ``got`` at the best shift: lossy codecs delay."""
    quarter = len(expected) // 4
    middle = expected[quarter:-quarter].astype(float)
    size = len(got) + len(middle)
    products = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(middle, size)), size)
    at = int(products[: max(1, len(got) - len(middle) + 1)].argmax())
    window = got[at : at + len(middle)].astype(float)
    return float(np.corrcoef(middle, window)[0, 1]) if len(window) == len(middle) else 0.0


def chirp(seconds: float = 2.0) -> np.ndarray:
    """Return a tone that rises, of which no two parts are alike."""
    return (8_000 * np.sin(np.cumsum(np.linspace(0.1, 0.7, int(seconds * RATE))))).astype(np.int16)
