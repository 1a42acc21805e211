"""First bytes of files and streams."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.audio.signature import AAC, MP3, TABLE, recognise, undecided
from tests.media.files import ENCODED, chirp, encoded
from tests.sound import speech

NAMES = {"mp3": "MP3", "mp3 vbr": "MP3", "m4a": "MP4 or M4A", "webm": "WebM or Matroska", "opus": "Ogg", "aac": "AAC"}


@pytest.mark.parametrize("kind", ENCODED)
def test_signature_file_is_recognised_as_audio(kind: str) -> None:
    signature = recognise(encoded(chirp(1), kind))
    assert signature is not None
    assert signature.audio
    assert signature.name.startswith(NAMES.get(kind, ""))


def test_signature_mp3_without_tags_is_recognised() -> None:
    data = encoded(chirp(1), "mp3", pipe=True)
    frames = data[data.index(b"\xff\xf3") :]
    assert recognise(frames) == MP3
    assert recognise(bytes(1_000) + frames) == MP3
    assert recognise(frames[:100]) is None
    assert recognise(encoded(chirp(1), "aac")) == AAC


@pytest.mark.parametrize("seed", range(5))
def test_signature_pcm_is_unknown(seed: int) -> None:
    assert recognise(speech(100, 400, seed=seed).tobytes()) is None
    assert recognise(np.random.default_rng(seed).bytes(8_192)) is None


@pytest.mark.parametrize("first", ["fffb9064", "fff15080", "ffff0000", "00000000"])
def test_signature_pcm_like_a_frame_is_unknown(first: str) -> None:
    quiet = np.random.default_rng(0).integers(-3, 3, 4_000).astype("<i2").tobytes()
    assert recognise(bytes.fromhex(first) + quiet) is None
    assert recognise(bytes.fromhex(first) * 2_000) is None


def test_signature_first_frame_leaves_it_undecided() -> None:
    aac = encoded(chirp(1), "aac")
    assert undecided(aac[:400])
    assert recognise(aac[:400]) is None
    assert not undecided(speech(100, 100).tobytes())
    assert not undecided(bytes(5_000))
    assert not undecided(b"")


def test_signature_table_has_no_unreachable_row() -> None:
    for at, magic, signature in TABLE:
        assert recognise(bytes(at) + magic + bytes(20)) == signature
