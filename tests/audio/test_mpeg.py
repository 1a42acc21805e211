"""Lengths of MP3 and ADTS frames."""

from __future__ import annotations

import pytest

from appliance.audio.mpeg import adts_frame, is_adts, is_mp3, mp3_frame


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("fffb9000", 417),  # MPEG 1, 128 kbit/s, 44.1 kHz: 144 * 128000 / 44100
        ("fffb9200", 418),  # with padding
        ("fff34884", 144),  # MPEG 2, 32 kbit/s, 16 kHz: 72 * 32000 / 16000
        ("ffe31800", 72),  # MPEG 2.5, 8 kbit/s, 8 kHz
        ("fffb0000", 0),  # free bit rate
        ("fffbf000", 0),
        ("fffb9c00", 0),  # reserved sample rate
        ("fffd9000", 0),  # layer II
        ("fffb", 0),
    ],
)
def test_mp3_frame_header_gives_its_length(header: str, length: int) -> None:
    assert mp3_frame(bytes.fromhex(header)) == length


def test_adts_frame_header_gives_its_length() -> None:
    assert adts_frame(bytes.fromhex("fff15080") + bytes([0x02, 0x1F, 0xFC])) == 16
    assert adts_frame(bytes.fromhex("fff15080") + bytes([0x00, 0x1F, 0xFC])) == 0
    assert adts_frame(b"\xff\xf1") == 0


def test_is_mp3_needs_three_frames() -> None:
    frame = bytes.fromhex("fff34884") + bytes(140)
    assert is_mp3(frame * 2) is None
    assert is_mp3(frame * 3)
    assert is_mp3(bytes(1_000) + frame * 3)
    assert not is_mp3(b"x" + frame * 3)
    assert not is_adts(frame * 3)
