"""Subtitle files out of finals, and the count of wrong words."""

from __future__ import annotations

import pytest

from appliance.core.events import RATE, Cause, Final, Word
from appliance.text.errors import word_errors
from appliance.text.subtitles import LINE, LONGEST_S, cues, srt, vtt


def final(text: str, start: float = 0.0, step: float = 0.5) -> Final:
    """A segment whose words follow each other every ``step`` seconds."""
    words = tuple(
        Word(word, int((start + i * step) * RATE), int((start + (i + 1) * step) * RATE), 1.0)
        for i, word in enumerate(text.split())
    )
    return Final(0, text, words, 1.0, "en", words[0].start, words[-1].end, Cause.SILENCE)


def test_srt() -> None:
    made = srt([final("open the door", 1.0), final("thank you", 3661.25)])
    assert made == (
        "1\n00:00:01,000 --> 00:00:02,500\nopen the door\n\n2\n01:01:01,250 --> 01:01:02,250\nthank you\n\n"
    )


def test_vtt() -> None:
    assert vtt([final("yes", 0.25)]) == "WEBVTT\n\n00:00:00.250 --> 00:00:00.750\nyes\n\n"
    assert vtt([]) == "WEBVTT\n\n"


def test_long_segments_are_cut_where_they_can_be_read() -> None:
    said = final(" ".join(f"word{i}" for i in range(60)))
    made = list(cues([said]))
    assert " ".join(cue.text for cue in made) == said.text
    assert all(len(cue.text) <= LINE and cue.end - cue.start <= LONGEST_S for cue in made)
    assert all(a.end <= b.start for a, b in zip(made, made[1:], strict=False))


@pytest.mark.parametrize(
    ("wanted", "heard", "wrong"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b", "b a", 2),
        ("a", "", 1),
        ("", "a b", 2),
    ],
)
def test_word_errors(wanted: str, heard: str, wrong: int) -> None:
    assert word_errors(wanted.split(), heard.split()) == wrong
