"""Frames of 512 samples (32 ms). A scene is one letter a frame; what comes of it are marks with places in frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.endpoint import HYSTERESIS, Endpointer, Turn
from appliance.core.options import Endpointing

FRAME = 512
CERTAINTY = {"#": 1.0, ".": 0.0, "~": 0.4}
"""Voice, silence, and something between threshold and threshold minus hysteresis."""
LIMITS = {"threshold": 0.5, "min_speech_ms": 96, "min_silence_ms": 64, "hangover_ms": 128, "silence_to_end_ms": 256}
"""3, 2, 4 and 8 frames."""
SIGNS = {Turn.START: "start", Turn.PAUSE: "pause", Turn.RESUME: "resume", Turn.END: "end"}


def endpointer(origin=0, **limits):
    return Endpointer(Endpointing(**{**LIMITS, **limits}), FRAME, origin)


def marks(machine, scene):
    """(frame at which it was told, turn, place in frames)"""
    told = []
    for index, sign in enumerate(scene):
        mark = machine.step(CERTAINTY[sign])
        if mark is not None:
            assert mark.at % FRAME == 0
            told.append((index, SIGNS[mark.turn], mark.at // FRAME))
    return told


@pytest.mark.parametrize(
    ("limits", "scene", "expected"),
    [
        ({}, "", []),
        ({}, "...........", []),
        # start after min_speech, placed at the first voiced frame
        ({}, "..##....", []),
        ({}, "..###", [(4, "start", 2)]),
        ({"min_speech_ms": 0}, "..#", [(2, "start", 2)]),
        ({"min_speech_ms": 32}, "..#", [(2, "start", 2)]),
        ({"min_speech_ms": 33}, "..##", [(3, "start", 2)]),
        # gaps shorter than min_silence inside the run do not count and do not break it
        ({}, "#.#.#", [(4, "start", 0)]),
        ({}, "#..#..#..#..", []),
        ({}, "##..###", [(6, "start", 4)]),
        ({"min_silence_ms": 32}, "#.##.###", [(7, "start", 5)]),
        # hysteresis: between the two thresholds voice goes on, but does not begin
        ({}, "~~~~~", []),
        ({}, "#~~", [(2, "start", 0)]),
        ({}, "#.~~~..", []),
        ({}, "###~~~~~~~~~", [(2, "start", 0)]),
        ({}, "###.~~~", [(2, "start", 0), (6, "pause", 7)]),
        # pause at the hangover, resume, end
        ({}, "###...", [(2, "start", 0)]),
        ({}, "###....", [(2, "start", 0), (6, "pause", 7)]),
        ({}, "###........", [(2, "start", 0), (6, "pause", 7), (10, "end", 3)]),
        ({}, "###...#........", [(2, "start", 0), (10, "pause", 11), (14, "end", 7)]),
        ({}, "###....###", [(2, "start", 0), (6, "pause", 7), (9, "resume", 7)]),
        (
            {},
            "###.....#.##........",
            [(2, "start", 0), (6, "pause", 7), (11, "resume", 8), (15, "pause", 16), (19, "end", 12)],
        ),
        # a short sound in the pause delays the end, and is not where voice was last heard
        ({}, "###....#......", [(2, "start", 0), (6, "pause", 7), (10, "end", 3)]),
        ({}, "###.......#.#..", [(2, "start", 0), (6, "pause", 7), (14, "end", 3)]),
        ({}, "###.......#.##", [(2, "start", 0), (6, "pause", 7), (13, "resume", 10)]),
        # the end before, at, and one frame after the hangover
        ({"silence_to_end_ms": 64}, "###..", [(2, "start", 0), (4, "end", 3)]),
        ({"silence_to_end_ms": 128}, "###....", [(2, "start", 0), (6, "end", 3)]),
        ({"silence_to_end_ms": 160}, "###.....", [(2, "start", 0), (6, "pause", 7), (7, "end", 3)]),
        # neither is shorter than min_silence
        ({"silence_to_end_ms": 0}, "###.#..", [(2, "start", 0), (6, "end", 5)]),
        ({"silence_to_end_ms": 0, "min_silence_ms": 0}, "###.", [(2, "start", 0), (3, "end", 3)]),
        ({"hangover_ms": 0}, "###..", [(2, "start", 0), (4, "pause", 5)]),
        # and again
        (
            {"silence_to_end_ms": 64},
            "###...###..###",
            [(2, "start", 0), (4, "end", 3), (8, "start", 6), (10, "end", 9), (13, "start", 11)],
        ),
        # whoever speaks on and on
        ({}, "#" * 500, [(2, "start", 0)]),
    ],
)
def test_scenes(limits, scene, expected):
    assert marks(endpointer(**limits), scene) == expected


@pytest.mark.parametrize(
    ("threshold", "begins", "goes_on"), [(0.5, 0.5, 0.36), (0.4, 0.4, 0.26), (1.0, 1.0, 0.86), (0.1, 0.1, 0.06)]
)
def test_thresholds(threshold, begins, goes_on):
    below = endpointer(threshold=threshold, min_speech_ms=32)
    assert below.step(begins - 0.01) is None
    assert below.step(begins).turn is Turn.START
    assert not any(below.step(goes_on) for _ in range(50))
    told = [below.step(max(threshold - HYSTERESIS, threshold / 2) - 0.01) for _ in range(8)]
    assert [mark.turn for mark in told if mark] == [Turn.PAUSE, Turn.END]


def test_places_count_from_the_origin():
    machine = endpointer(origin=16_384)
    assert marks(machine, "..###........") == [(4, "start", 34), (8, "pause", 41), (12, "end", 37)]


@pytest.mark.parametrize(
    ("scene", "run", "quiet", "speaking"),
    [
        ("", None, 0, False),
        ("..", None, 0, False),
        ("..#", 2, 0, False),
        ("..#.", 2, 0, False),
        ("..#..", None, 0, False),
        ("###", None, 0, True),
        ("###..", None, 2, True),
        ("###..#", None, 0, True),
        ("###....", None, 4, True),
        ("###....#", 7, 5, True),
        ("###....###", None, 0, True),
        ("###........", None, 0, False),
    ],
)
def test_what_is_shown_of_the_state(scene, run, quiet, speaking):
    machine = endpointer()
    marks(machine, scene)
    assert (machine.run, machine.quiet, machine.speaking) == (run and run * FRAME, quiet * FRAME, speaking)


@pytest.mark.parametrize(("before", "after"), [("", "###"), (".", "###"), ("##", "#"), ("###", "....")])
def test_what_was_too_short_for_a_frame_moves_the_places(before, after):
    machine, moved = endpointer(), endpointer()
    marks(machine, before)
    marks(moved, before)
    moved.skip(FRAME)
    places = [(told, turn, at) for told, turn, at in marks(machine, after)]
    late = [(told, turn, at + (turn == "pause" or not before.strip("."))) for told, turn, at in places]
    assert marks(moved, after) == late


@pytest.mark.parametrize(
    ("scene", "heard_until"), [("###", 3), ("###..", 3), ("###....", 3), ("###....##", 3), ("###....###", 10)]
)
def test_force_end(scene, heard_until):
    machine = endpointer()
    marks(machine, scene)
    assert machine.force_end() == heard_until * FRAME
    assert (machine.run, machine.quiet, machine.speaking) == (None, 0, False)
    at = len(scene)
    assert marks(machine, "........") == []
    assert marks(machine, "###") == [(2, "start", at + 8)]


@pytest.mark.parametrize(
    ("before", "changes", "after", "expected"),
    [
        ("##", {"min_speech_ms": 32}, "#", [(0, "start", 0)]),
        ("##", {"min_speech_ms": 160}, "###", [(2, "start", 0)]),
        ("###...", {"hangover_ms": 256, "silence_to_end_ms": 512}, ".....", [(4, "pause", 11)]),
        ("###....", {"silence_to_end_ms": 128}, ".", [(0, "end", 3)]),
        ("###......", {"silence_to_end_ms": 320}, "....", [(3, "end", 3)]),
        ("###..", {"threshold": 0.9}, "....", [(1, "pause", 7)]),
        ("###", {"threshold": 0.3}, "~" * 20, []),
        ("###", {"threshold": 1.0}, "~~~~", [(3, "pause", 7)]),
    ],
)
def test_configure_holds_from_the_next_frame_on(before, changes, after, expected):
    machine = endpointer()
    marks(machine, before)
    machine.configure(Endpointing(**{**LIMITS, **changes}))
    assert marks(machine, after) == expected


OPTIONS = st.builds(
    Endpointing,
    threshold=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    min_speech_ms=st.integers(0, 300),
    min_silence_ms=st.integers(0, 300),
    silence_to_end_ms=st.integers(0, 600),
    hangover_ms=st.integers(0, 600),
)
STEPS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 1.0]), st.just("force_end"), st.integers(0, FRAME - 1), OPTIONS
)
NEXT = {
    None: {Turn.START},
    Turn.START: {Turn.PAUSE, Turn.END},
    Turn.PAUSE: {Turn.RESUME, Turn.END},
    Turn.RESUME: {Turn.PAUSE, Turn.END},
    Turn.END: {Turn.START},
}


@given(OPTIONS, st.lists(STEPS, max_size=120))
def test_turns_follow_each_other_legally(options, steps):
    machine, position, last, voice = Endpointer(options, FRAME), 0, None, 0
    for step in steps:
        if isinstance(step, Endpointing):
            machine.configure(step)
            continue
        if isinstance(step, int):
            machine.skip(step)
            position += step
            continue
        if step == "force_end":
            if not machine.speaking:
                continue
            turn, at = Turn.END, machine.force_end()
        else:
            mark = machine.step(step)
            position += FRAME
            if mark is None:
                continue
            turn, at = mark
        assert turn in NEXT[last]
        last = turn
        assert at <= position
        if turn is Turn.PAUSE:  # it says when; the others say where voice was, and that never goes back
            assert at == position
        else:
            assert at >= voice
            voice = at
        assert machine.speaking is (turn is not Turn.END)
        assert machine.run is None


@given(OPTIONS, st.lists(st.sampled_from("#.~"), max_size=100))
def test_silence_ends_whatever_was_said(options, scene):
    machine = Endpointer(options, FRAME)
    marks(machine, scene)
    if options.threshold > 0:
        marks(machine, "." * 60)
        assert not machine.speaking
        assert machine.run is None
