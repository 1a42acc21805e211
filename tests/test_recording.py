"""Files of every kind that libsndfile writes, read back as a session takes them."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from appliance.core.options import AudioFormat
from appliance.recording import HIGHEST, LOWEST, VALUES, Recording, Unreadable
from tests.sound import speech, tone

EXACT = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
)
LOSSY = (("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"))


def written(samples: np.ndarray, container: str = "WAV", codec: str = "PCM_16", rate: int = 16_000) -> bytes:
    """The bytes of a file."""
    target = io.BytesIO()
    if codec == "FLOAT" and samples.dtype == np.int16:
        samples = samples / 32_768  # libsndfile does not scale them
    soundfile.write(target, samples, rate, codec, format=container)
    return target.getvalue()


def reads(path: Path, longest_s: float = 0.3) -> np.ndarray:
    """All of a file, piece by piece."""
    with Recording(path) as recording:
        return np.frombuffer(b"".join(iter(lambda: recording.read(longest_s), b"")), "<i2")


def alike(got: np.ndarray, expected: np.ndarray) -> float:
    """Correlation at the best shift within 0.1 s: lossy codecs delay."""
    size = len(expected) // 2
    middle = expected[size // 2 : size // 2 + size].astype(float)
    windows = (got[size // 2 + shift :][:size].astype(float) for shift in range(-1_600, 1_600, 1))
    return max(float(np.corrcoef(middle, window)[0, 1]) for window in windows if len(window) == size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recording"


SAMPLES = speech(200, 700, 300)


@pytest.mark.parametrize(("container", "codec"), EXACT)
def test_exact(container: str, codec: str, path: Path) -> None:
    path.write_bytes(written(SAMPLES, container, codec))
    assert np.array_equal(reads(path), SAMPLES)


@pytest.mark.parametrize(("container", "codec"), LOSSY)
def test_lossy(container: str, codec: str, path: Path) -> None:
    chirp = (8_000 * np.sin(np.cumsum(np.linspace(0.1, 0.7, 16_000)))).astype(np.int16)
    path.write_bytes(written(chirp, container, codec))
    got = reads(path)
    assert len(got) == pytest.approx(len(chirp), abs=1_600)
    assert alike(got, chirp) > 0.9


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_the_rate_is_the_files_own(rate: int, path: Path) -> None:
    path.write_bytes(written(SAMPLES, rate=rate))
    with Recording(path) as recording:
        assert recording.audio == AudioFormat(rate=rate)
        assert recording.duration_s == pytest.approx(len(SAMPLES) / rate)
        assert len(recording.read(0.2)) == 2 * (rate // 5)


def test_channels_are_mixed_down(path: Path) -> None:
    left, right = speech(100, 300, seed=1), speech(100, 300, seed=2)
    path.write_bytes(written(np.stack([left, right], 1)))
    assert np.abs(reads(path) - (left.astype(float) + right) / 2).max() <= 1


def test_loud_floats_are_clipped_and_what_is_no_number_is_silence(path: Path) -> None:
    samples = np.array([1.5, -1.5, np.nan, np.inf, -np.inf, 0.5], np.float32)
    path.write_bytes(written(samples, codec="FLOAT"))
    assert reads(path).tolist() == [32_767, -32_768, 0, 32_767, -32_768, 16_384]


def test_many_channels_are_read_in_smaller_pieces(path: Path) -> None:
    path.write_bytes(written(np.zeros((5_000, 1_000), np.int16)))
    with Recording(path) as recording:
        assert len(recording.read(60)) == 2 * (VALUES // 1_000)


def test_a_descriptor_stays_the_callers(path: Path) -> None:
    path.write_bytes(written(SAMPLES))
    with path.open("rb") as file:
        with Recording(file.fileno()) as recording:
            assert recording.read(0.1) == SAMPLES[:1_600].tobytes()
        file.seek(0)
        assert file.read(4) == b"RIFF"


# a size in a header is what its writer knew when it began


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_wav_file_from_a_pipe(size: int, path: Path) -> None:
    data = written(SAMPLES)
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + struct.pack("<I", size) + data[at + 4 :])
    assert np.array_equal(reads(path), SAMPLES)


def test_a_wav_file_that_says_it_is_empty(path: Path) -> None:
    data = written(np.concatenate([SAMPLES] * 3))
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    with pytest.raises(Unreadable, match="it is empty, and it is not"):
        Recording(path)


def test_an_empty_file_of_audio(path: Path) -> None:
    path.write_bytes(written(SAMPLES[:0]))
    assert len(reads(path)) == 0


@pytest.mark.parametrize("rate", [LOWEST - 1, HIGHEST + 1])
def test_rates_that_are_none(rate: int, path: Path) -> None:
    path.write_bytes(written(SAMPLES, rate=rate))
    with pytest.raises(Unreadable, match=f"{rate} Hz"):
        Recording(path)


@pytest.mark.parametrize(
    "data", [b"", b"text " * 500, b"RIFF", b"RIFF\0\0\0\0WAVE", b"fLaC" + bytes(500), bytes(5_000)]
)
def test_what_is_no_audio(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="not readable as audio"):
        Recording(path)


def test_what_is_not_there(path: Path) -> None:
    with pytest.raises(Unreadable):
        Recording(path)


def test_damage_in_the_middle(path: Path) -> None:
    data = written(np.concatenate([SAMPLES] * 10), "FLAC")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(Unreadable, match=r"damaged after \d+\.\d s"):
        reads(path)


def test_a_tone_is_a_tone(path: Path) -> None:
    """Scale: half of full scale in, half of full scale out."""
    path.write_bytes(written(tone(440, 16_000, 16_000), codec="FLOAT"))
    assert np.abs(reads(path)).max() == pytest.approx(16_384, abs=20)


BROKEN = """
import os, sys
from pathlib import Path
from appliance.recording import Recording, Unreadable
try:
    with Recording(Path(sys.argv[1])) as recording:
        while recording.read(2):
            pass
except Unreadable:
    pass
print("ours", file=sys.stderr, flush=True)
os.write(2, b"anybody's")
"""


def test_decoder_of_a_broken_mp3_writes_nothing_to_the_log(path: Path) -> None:
    noise = np.random.default_rng(1).integers(-9_000, 9_000, 160_000).astype(np.int16)
    data = bytearray(written(noise, "MP3", "MPEG_LAYER_III"))
    data[500::37] = bytes(len(data[500::37]))
    path.write_bytes(data)
    done = subprocess.run([sys.executable, "-c", BROKEN, path], capture_output=True, timeout=30, check=True)
    assert done.stderr == b"ours\nanybody's"
