"""Finals to subtitle files: SubRip and WebVTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from appliance.core.events import Final, Word, seconds

LINE = 84
"""Characters of one cue: two lines of 42, as broadcasters have it."""
LONGEST_S = 7.0
"""A cue stands no longer than this, by the same custom."""


class Cue(NamedTuple):
    """Times in seconds."""

    start: float
    end: float
    text: str


def cues(finals: Iterable[Final]) -> Iterator[Cue]:
    """Segments cut into pieces that can be read; a cue never spans two segments."""
    for final in finals:
        piece: list[Word] = []
        for word in final.words:
            length = sum(len(earlier.text) + 1 for earlier in piece) + len(word.text)
            if piece and (length > LINE or seconds(word.end - piece[0].start) > LONGEST_S):
                yield _cue(piece)
                piece = []
            piece.append(word)
        if piece:
            yield _cue(piece)


def srt(finals: Iterable[Final]) -> str:
    """A SubRip file."""
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(cues(finals), 1)
    )


def vtt(finals: Iterable[Final]) -> str:
    """A WebVTT file."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{cue.text}\n\n" for cue in cues(finals)
    )


def _cue(words: list[Word]) -> Cue:
    return Cue(seconds(words[0].start), seconds(words[-1].end), " ".join(word.text for word in words))


def _time(at: float, point: str) -> str:
    milliseconds = round(at * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{milliseconds:03d}"
