"""Recordings of every kind, read back as a session takes them, by the real decoder process."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from appliance import interpreter
from appliance.core.options import AudioFormat
from appliance.media import recording as module
from appliance.media.recording import Recording, Unreadable
from tests.media.files import ENCODED, alike, chirp, encoded, video, written
from tests.sound import speech, tone

EXACT = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
)
LOSSY = (
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "PCM_U8"),
    ("WAV", "IMA_ADPCM"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
NEED_SEEKING = ("m4a", "mp4", "aiff", "w64")
"""Formats whose index or sizes are written at the end."""
SAMPLES = speech(200, 700, 300)
CHIRP = chirp()


def reads(source: Path | bytes, folder: Path | None = None, longest_s: float = 0.3) -> tuple[np.ndarray, str]:
    """Return all samples, read piece by piece, and the shortfall."""
    if isinstance(source, bytes):
        assert folder is not None
        path = folder / "recording"
        path.write_bytes(source)
        source = path
    with Recording(source) as recording:
        samples = np.frombuffer(b"".join(iter(lambda: recording.read(longest_s), b"")), "<i2")
        return samples, recording.shortfall


def resized(wav: bytes, size: int) -> bytes:
    """Return a WAV file with another size of its data in the header."""
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", size) + wav[at + 4 :]


# what is decoded


@pytest.mark.parametrize(("container", "codec"), EXACT)
def test_recording_lossless_gives_the_same_samples(container: str, codec: str, tmp_path: Path) -> None:
    samples = SAMPLES / 32_768 if codec in ("FLOAT", "DOUBLE") else SAMPLES
    samples, shortfall = reads(written(samples, container, codec), tmp_path)
    assert np.array_equal(samples, SAMPLES)
    assert shortfall == ""


@pytest.mark.parametrize(("container", "codec"), LOSSY)
def test_recording_lossy_gives_similar_samples(container: str, codec: str, tmp_path: Path) -> None:
    samples, shortfall = reads(written(CHIRP, container, codec), tmp_path)
    assert len(samples) == pytest.approx(len(CHIRP), abs=1_600)
    assert alike(samples, CHIRP) > 0.9
    assert shortfall == ""


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in ENCODED if kind != "amr"])
def test_recording_container_gives_all_samples(kind: str, pipe: bool, tmp_path: Path) -> None:
    if pipe and kind in NEED_SEEKING:
        pytest.skip("what is written to a pipe is no valid file")
    samples, shortfall = reads(encoded(CHIRP, kind, pipe=pipe), tmp_path)
    assert len(samples) == pytest.approx(len(CHIRP), abs=3_000)
    assert alike(samples, CHIRP) > 0.9
    assert shortfall == ""


def test_recording_amr_gives_all_samples(tmp_path: Path) -> None:
    samples, shortfall = reads(encoded(CHIRP, "amr"), tmp_path)
    assert len(samples) == pytest.approx(len(CHIRP), abs=1_600)
    assert shortfall == ""


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_recording_any_rate_becomes_16_khz(rate: int, tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(written(tone(440, rate, rate), rate=rate))
    with Recording(tmp_path / "recording") as recording:
        assert recording.audio == AudioFormat(rate=16_000)
        assert recording.duration_s == pytest.approx(1.0)
        samples = np.frombuffer(recording.read(10), "<i2")
    assert len(samples) == pytest.approx(16_000, abs=1)
    assert np.abs(np.fft.rfft(samples)).argmax() == pytest.approx(440, abs=1)


def test_recording_channels_are_mixed_to_their_mean(tmp_path: Path) -> None:
    left, right = speech(100, 300, seed=1), speech(100, 300, seed=2)
    samples, _ = reads(written(np.stack([left, right], 1)), tmp_path)
    assert np.abs(samples - (left.astype(float) + right) / 2).max() <= 1


def test_recording_one_channel_inverted_keeps_the_voice(tmp_path: Path) -> None:
    samples, _ = reads(written(np.stack([SAMPLES, -SAMPLES], 1)), tmp_path)
    assert np.array_equal(np.abs(samples[640:]), np.abs(SAMPLES[640:]))


def test_recording_loud_floats_are_clipped(tmp_path: Path) -> None:
    values = np.array([1.5, -1.5, np.nan, np.inf, -np.inf, 0.5], np.float32)
    samples, _ = reads(written(values, codec="FLOAT"), tmp_path)
    assert samples.tolist() == [32_767, -32_768, 0, 32_767, -32_768, 16_384]


def test_recording_many_channels_are_mixed(tmp_path: Path) -> None:
    samples, _ = reads(written(np.full((5_000, 60), 1_000, np.int16)), tmp_path)
    assert set(samples) == {1_000}
    assert len(samples) == 5_000


def test_recording_descriptor_stays_the_callers(tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(written(SAMPLES))
    with (tmp_path / "recording").open("rb") as file:
        with Recording(file.fileno()) as recording:
            assert recording.read(0.1) == SAMPLES[:1_600].tobytes()
        file.seek(0)
        assert file.read(4) == b"RIFF"


def test_recording_tone_keeps_its_level(tmp_path: Path) -> None:
    samples, _ = reads(written(tone(440, 16_000, 16_000), codec="FLOAT"), tmp_path)
    assert np.abs(samples).max() == pytest.approx(16_384, abs=20)


# the bytes count, not what a header says of them


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
@pytest.mark.parametrize("times", [1, 3])
def test_recording_wav_of_unknown_size_is_complete(size: int, times: int, tmp_path: Path) -> None:
    whole = np.concatenate([SAMPLES] * times)
    samples, shortfall = reads(resized(written(whole), size), tmp_path)
    assert np.array_equal(samples, whole)
    assert shortfall == ""


def test_recording_flac_of_unknown_length_is_complete(tmp_path: Path) -> None:
    samples, shortfall = reads(encoded(SAMPLES, "flac", pipe=True), tmp_path)
    assert np.array_equal(samples, SAMPLES)
    assert shortfall == ""


def test_recording_vbr_mp3_of_a_pipe_is_complete(tmp_path: Path) -> None:
    talk = np.concatenate([np.zeros(64_000, np.int16), chirp(4)])
    samples, shortfall = reads(encoded(talk, "mp3 vbr", pipe=True), tmp_path)
    assert len(samples) == pytest.approx(len(talk), abs=2_000)
    assert shortfall == ""


JOINED = ("wav", "mp3", "mp3 vbr", "flac", "opus", "aac", "webm", "mkv", "m4a", "mp4 fragments", "aiff", "mulaw")


@pytest.mark.parametrize("kind", JOINED)
def test_recording_joined_files_give_all_parts(kind: str, tmp_path: Path) -> None:
    data = written(CHIRP) if kind == "wav" else encoded(CHIRP, kind)
    samples, shortfall = reads(data * 3, tmp_path)
    assert len(samples) == pytest.approx(3 * len(CHIRP), abs=8_000)
    assert alike(samples[-len(CHIRP) :], CHIRP) > 0.6
    assert shortfall == ""


def test_recording_joined_rates_are_resampled(tmp_path: Path) -> None:
    data = written(tone(440, 8_000, 8_000), rate=8_000) + written(tone(440, 48_000, 48_000), rate=48_000)
    samples, _ = reads(data, tmp_path)
    assert len(samples) == pytest.approx(32_000, abs=2)
    assert np.abs(np.fft.rfft(samples)).argmax() == pytest.approx(880, abs=2)


def test_recording_empty_wav_has_no_samples(tmp_path: Path) -> None:
    samples, shortfall = reads(written(SAMPLES[:0]), tmp_path)
    assert (len(samples), shortfall) == (0, "")


# what was cut off

CUT = ("wav", "flac", "flac pipe", "mp3", "mp3 vbr pipe", "opus", "webm", "webm pipe", "mkv", "mp4 fragments", "aac")


@pytest.mark.parametrize("kind", CUT)
def test_recording_cut_off_gives_what_there_is(kind: str, tmp_path: Path) -> None:
    talk = chirp(5)
    name = kind.removesuffix(" pipe")
    data = written(talk) if kind == "wav" else encoded(talk, name, pipe=name != kind)
    samples, shortfall = reads(data[: len(data) * 6 // 10 - 1], tmp_path)
    assert 0.4 * len(talk) < len(samples) < 0.75 * len(talk)
    assert alike(samples[:16_000], talk[:16_000]) > 0.9
    assert shortfall


def test_recording_cut_off_states_the_missing_bytes(tmp_path: Path) -> None:
    data = written(SAMPLES)
    _, shortfall = reads(data[:-1_000], tmp_path)
    assert shortfall == f"1000 of {2 * len(SAMPLES)} bytes of audio are missing at the end"


def test_recording_damaged_in_the_middle_goes_on(tmp_path: Path) -> None:
    data = bytearray(written(np.concatenate([SAMPLES] * 10), "FLAC"))
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    samples, shortfall = reads(bytes(data), tmp_path)
    assert len(samples) > 8 * len(SAMPLES)
    assert shortfall


def test_recording_m4a_without_index_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="recorded without being finished"):
        reads(encoded(CHIRP, "m4a")[:-3_000], tmp_path)


# what cannot be decoded


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"text " * 500, "not recognised as audio; accepted are WAV"),
        (bytes(5_000), "not recognised as audio"),
        (np.random.default_rng(1).bytes(100_000), "not recognised as audio"),
        (b"\xff\xfb\x90\x00" + np.random.default_rng(2).bytes(100_000), "not recognised as audio"),
        (b"RIFF\0\0\0\0WAVE", "WAV that cannot be opened"),
        (b"fLaC" + bytes(500), "FLAC that cannot be opened"),
        (b"OggS" + np.random.default_rng(3).bytes(5_000), "Ogg that cannot be opened"),
        (b"\x1a\x45\xdf\xa3" + np.random.default_rng(4).bytes(5_000), "WebM or Matroska that cannot be opened"),
        (b"\x1f\x8b\x08" + bytes(500), "a gzip archive instead of audio"),
        (b"PK\x03\x04" + bytes(500), "a zip archive instead of audio"),
        (b"<!DOCTYPE html>", "an HTML page instead of audio"),
        (video(), "MP4 or M4A without audio"),
        (encoded(CHIRP, "m4a").replace(b"mp4a\0\0\0\0", b"drms\0\0\0\0"), "encrypted"),
        (written(SAMPLES, rate=3_999), "a sample rate of 3999 Hz is not supported; 4000 to 192000 Hz are accepted"),
        (written(SAMPLES, rate=192_001), "192001 Hz is not supported"),
    ],
)
def test_recording_no_audio_is_unreadable(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=words):
        reads(data, tmp_path)


def test_recording_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no such file or directory"):
        Recording(tmp_path / "missing")


def test_recording_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="a folder, not a file"):
        Recording(tmp_path)


@pytest.mark.parametrize("kind", ["flac", "mp3", "opus", "webm", "m4a", "mp4 fragments", "aac", "wma", "ts", "amr"])
def test_recording_damaged_anywhere_ends(kind: str, tmp_path: Path) -> None:
    """Twelve files with random bytes in them: words or an error, in time."""
    generator = np.random.default_rng(5)
    whole = np.frombuffer(encoded(CHIRP, kind), np.uint8)
    for _ in range(4):
        data = whole.copy()
        data[generator.integers(0, len(data), 60)] = generator.integers(0, 256, 60)
        try:
            samples, _ = reads(data.tobytes(), tmp_path)
        except Unreadable:
            continue
        assert len(samples) < 100 * len(CHIRP)


def test_recording_huge_header_takes_no_memory(tmp_path: Path) -> None:
    """A FLAC file that states 2^36 samples, and an MP4 file whose tables state 2^32 entries."""
    flac = bytearray(written(CHIRP, "FLAC"))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff\xff\xff\xff"
    samples, shortfall = reads(bytes(flac), tmp_path)
    assert len(samples) == len(CHIRP)
    assert shortfall
    mp4 = bytearray(encoded(CHIRP, "m4a"))
    at = mp4.index(b"stsz")
    mp4[at + 12 : at + 16] = b"\xff\xff\xff\xff"
    with pytest.raises(Unreadable):
        reads(bytes(mp4), tmp_path)


def test_recording_days_of_silence_are_read_slowly(tmp_path: Path) -> None:
    """The pipe holds the decoder back: it does not run ahead of its reader."""
    (tmp_path / "bomb").write_bytes(written(np.zeros(16_000 * 1_800, np.int16), "FLAC"))
    assert (tmp_path / "bomb").stat().st_size < 200_000
    with Recording(tmp_path / "bomb") as recording:
        assert len(recording.read(1.0)) == 32_000
        before = cpu_s(recording)
        time.sleep(0.3)
        assert cpu_s(recording) - before < 0.1


def cpu_s(recording: Recording) -> float:
    fields = Path(f"/proc/{recording._decoder.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# the process


def test_recording_killed_decoder_gives_what_it_gave(tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(written(np.zeros(16_000 * 600, np.int16), "FLAC"))
    with Recording(tmp_path / "recording") as recording:
        assert len(recording.read(1.0)) == 32_000
        recording._decoder.send_signal(signal.SIGKILL)
        while recording.read(1.0):
            pass
        assert recording.shortfall == "the decoder was ended: it took too much time or memory"


def test_recording_slow_decoder_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.3)
    monkeypatch.setattr(interpreter, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "recording").write_bytes(written(SAMPLES))
    with pytest.raises(Unreadable, match="no progress"):
        Recording(tmp_path / "recording")


@pytest.mark.parametrize("said", ["b'nonsense'", "b'\\x09\\x01\\0\\0\\0a'", "b'\\x01\\xff\\xff\\xff\\xff'", "b''"])
def test_recording_nonsense_of_a_decoder_is_an_error(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import os; os.write(1, {said})"
    monkeypatch.setattr(interpreter, "command", lambda *_: [sys.executable, "-c", program])
    (tmp_path / "recording").write_bytes(written(SAMPLES))
    with pytest.raises(Unreadable, match="the decoder failed"):
        Recording(tmp_path / "recording")


def test_recording_words_of_a_decoder_are_made_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"samples":0,"shortfall":"a\\r\\nSet-Cookie: b\\u001b[31m' + b"x" * 1_000 + b'"}'
    message = b"\x03" + len(body).to_bytes(4, "little") + body
    program = f"import os; os.write(1, {message!r})"
    monkeypatch.setattr(interpreter, "command", lambda *_: [sys.executable, "-c", program])
    (tmp_path / "recording").write_bytes(written(SAMPLES))
    with pytest.raises(Unreadable) as error:
        Recording(tmp_path / "recording")
    assert str(error.value).startswith("a??Set-Cookie: b?[31mxxx")
    assert len(str(error.value)) == 200


def test_recording_too_much_cpu_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_S", 1)
    (tmp_path / "recording").write_bytes(encoded(chirp(20), "opus") * 90)
    monkeypatch.setattr(module, "CPU_BYTES", 1 << 40)
    samples, shortfall = reads(tmp_path / "recording", longest_s=60)
    assert 0 < len(samples) < 16_000 * 1_800
    assert shortfall == "the decoder was ended: it took too much time or memory"


def test_recording_closed_early_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(written(np.zeros(16_000 * 600, np.int16), "FLAC"))
    recording = Recording(tmp_path / "recording")
    recording.close()
    assert recording._decoder.returncode is not None


def test_recording_broken_mp3_writes_nothing_to_stderr(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-9_000, 9_000, 160_000).astype(np.int16)
    data = bytearray(written(noise, "MP3", "MPEG_LAYER_III"))
    data[500::37] = bytes(len(data[500::37]))
    (tmp_path / "recording").write_bytes(data)
    program = (
        "import sys; from pathlib import Path; from appliance.media.recording import Recording\n"
        "with Recording(Path(sys.argv[1])) as recording:\n    while recording.read(2): pass\n"
        "assert 'av' not in sys.modules and 'soxr' not in sys.modules"
    )
    command = [sys.executable, "-c", program, tmp_path / "recording"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert done.stderr == b""
