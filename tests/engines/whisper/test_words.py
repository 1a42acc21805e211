"""Word boundaries with made-up levels: 100 frames a second, -2 where someone speaks, -8 in a pause."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Word
from appliance.engines.whisper.decoder import Alignment
from appliance.engines.whisper.features import HOP
from appliance.engines.whisper.vocabulary import Piece
from appliance.engines.whisper.words import aligned, estimated


def levels(frames: int, *pauses: tuple[int, int], quiet: float = -8.0) -> np.ndarray:
    made = np.full(frames, -2.0, np.float32)
    for first, last in pauses:
        made[first:last] = quiet
    return made


def placed(bounds: list[int], sound: np.ndarray, confidences: list[float] | None = None) -> list[tuple[int, int]]:
    """Frames of each word; ``bounds`` are where the attention lets tokens of one word each begin, and the end."""
    count = len(bounds) - 1
    pieces = [Piece(f"w{number}", number, number + 1) for number in range(count)]
    alignment = Alignment([frame * HOP for frame in bounds], confidences or [1.0] * count)
    return [(word.start // HOP, word.end // HOP) for word in aligned(pieces, alignment, sound, len(sound) * HOP)]


@pytest.mark.parametrize(
    ("bounds", "pauses", "expected"),
    [
        # without a pause the attention's place is kept
        ([0, 50, 100], [], [(0, 50), (50, 100)]),
        # a boundary in a pause, before and behind it
        ([0, 50, 100], [(45, 60)], [(0, 45), (60, 100)]),
        ([0, 38, 100], [(45, 60)], [(0, 45), (60, 100)]),
        ([0, 75, 100], [(45, 60)], [(0, 45), (60, 100)]),
        # too far away to be of this boundary
        ([0, 34, 100], [(45, 60)], [(0, 34), (34, 100)]),
        ([0, 90, 120], [(45, 60)], [(0, 90), (90, 120)]),
        # too short to be a pause
        ([0, 50, 100], [(48, 52)], [(0, 50), (50, 100)]),
        # the longest of several
        ([0, 50, 100], [(30, 36), (48, 60)], [(0, 48), (60, 100)]),
        # silence before the first word and after the last one
        ([0, 50, 100], [(0, 20), (90, 120)], [(20, 50), (50, 90)]),
        ([10, 50, 100], [(0, 20)], [(20, 50), (50, 100)]),
    ],
)
def test_aligned_boundaries_move_to_the_pause_near_them(bounds, pauses, expected):
    sound = levels(max(bounds[-1], *(last for _, last in pauses), 0), *pauses)
    assert placed(bounds, sound) == expected


@pytest.mark.parametrize(("quiet", "start"), [(-2.9, 50), (-3.1, 60)])
def test_aligned_small_range_of_levels_has_no_pause(quiet, start):
    assert placed([0, 50, 100], levels(100, (45, 60), quiet=quiet))[1][0] == start


def test_aligned_word_keeps_some_audio():
    words = placed([0, 50, 50, 100], levels(100))
    assert words == [(0, 50), (50, 52), (52, 100)]


def test_aligned_word_is_as_sure_as_its_least_sure_token():
    pieces = [Piece("a", 0, 2), Piece("b", 2, 3), Piece("c", 3, 4)]
    alignment = Alignment([0, 1_600, 3_200, 4_800, 6_400], [0.9, 0.4, 1.5, -0.2])
    words = aligned(pieces, alignment, levels(40), 6_400)
    assert [word.confidence for word in words] == [0.4, 1.0, 0.0]


@given(
    st.lists(st.integers(0, 120), min_size=2, max_size=8),
    st.lists(st.tuples(st.integers(0, 110), st.integers(1, 40)), max_size=4),
    st.integers(1, 110),
)
def test_aligned_words_are_in_order_and_in_the_audio(bounds, pauses, frames):
    sound = levels(frames, *((first, first + length) for first, length in pauses))
    count = len(bounds) - 1
    pieces = [Piece("w", number, number + 1) for number in range(count)]
    alignment = Alignment([frame * HOP for frame in sorted(bounds)], [0.5] * count)
    samples = frames * HOP - 7
    edges = [edge for word in aligned(pieces, alignment, sound, samples) for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert 0 <= edges[0] <= edges[-1] <= samples


def shown(*rows: tuple[str, int, int]) -> tuple[Word, ...]:
    return tuple(Word(text, start, end, 1.0) for text, start, end in rows)


@pytest.mark.parametrize(
    ("texts", "before", "now", "expected"),
    [
        ([], shown(), 800, shown()),
        (["a", "b"], shown(), 800, shown(("a", 0, 400), ("b", 400, 800))),
        (["a", "b"], shown(("a", 0, 300)), 800, shown(("a", 0, 300), ("b", 300, 800))),
        (["a", "b"], shown(("a", 0, 300), ("b", 300, 800)), 900, shown(("a", 0, 300), ("b", 300, 800))),
        (["a,", "c"], shown(("a", 0, 300), ("b", 300, 600)), 800, shown(("a,", 0, 300), ("c", 300, 800))),
        (["b", "a"], shown(("a", 0, 300), ("b", 300, 600)), 800, shown(("b", 0, 400), ("a", 400, 800))),
        (["a"], shown(("a", 0, 300), ("b", 300, 600)), 800, shown(("a", 0, 300))),
        (["a", "b"], shown(("a", 0, 900)), 800, shown(("a", 0, 900), ("b", 900, 900))),
    ],
)
def test_estimated_words_keep_times_that_were_shown(texts, before, now, expected):
    assert estimated(texts, before, 0, now) == expected
