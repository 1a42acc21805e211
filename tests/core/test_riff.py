"""WAV headers in streams: what they contradict, and the audio of a message without its header."""

from __future__ import annotations

import itertools

import pytest

from appliance.core.options import AudioFormat, Encoding
from appliance.core.riff import audio_bytes, contradiction, is_wav
from tests.sound import wav_header

FORMATS = [
    AudioFormat(encoding, rate, channels)
    for encoding, rate, channels in itertools.product(Encoding, (8_000, 16_000, 44_100), (1, 2))
]


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_contradiction_is_found_for_every_other_format(audio: AudioFormat, extensible: bool) -> None:
    header = wav_header(audio, extensible=extensible)
    assert [other for other in FORMATS if not contradiction(header, other)] == [audio]


def test_contradiction_names_both_formats() -> None:
    said = contradiction(wav_header(AudioFormat(rate=44_100, channels=2)), AudioFormat())
    assert said == (
        "the WAV header states 44100 Hz, 2 channels, the session 16000 Hz, 1 channel; "
        "open the session with the format of the file"
    )


def test_contradiction_unknown_tag_is_named() -> None:
    header = bytearray(wav_header(AudioFormat()))
    header[20:22] = b"\x55\x00"
    assert "16-bit format 85" in contradiction(bytes(header), AudioFormat())


@pytest.mark.parametrize(
    "header",
    [
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16) + b"data\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0" + bytes(4) + b"data\0\0\0\0",
    ],
)
def test_contradiction_header_without_format_states_nothing(header: bytes) -> None:
    assert contradiction(header, AudioFormat()) == ""


def test_contradiction_format_after_other_chunks_is_found() -> None:
    header = wav_header(AudioFormat(rate=8_000))
    assert contradiction(header[:12] + b"JUNK\x03\0\0\0abc\0" + header[12:], AudioFormat())


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b"", 0),
        (bytes(100), 100),
        (b"RIFF", 4),
        (wav_header(AudioFormat()), 0),
        (wav_header(AudioFormat()) + bytes(100), 100),
        (wav_header(AudioFormat())[:40], 40),
    ],
)
def test_audio_bytes_leaves_out_a_whole_header(message: bytes, size: int) -> None:
    assert audio_bytes(message) == size


@pytest.mark.parametrize(("data", "wav"), [(b"RIFF....WAV", False), (b"RIFF....WAVE", True), (b"RIFF....AVI ", False)])
def test_is_wav_needs_the_whole_form(data: bytes, wav: bool) -> None:
    assert is_wav(data) is wav
