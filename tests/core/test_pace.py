"""A scene is a list of (seconds, what): a number is audio of that length, ``None`` another sign of life."""

import pytest

from appliance.core.options import Limits
from appliance.core.pace import SLACK_S, Pace
from appliance.core.problems import Kind


def played(limits, scene):
    pace = Pace(Limits(**limits), 100.0)
    for at, what in scene:
        if what is None:
            pace.alive(100.0 + at)
        else:
            pace.audio(what, 100.0 + at)
    return pace


def steady(seconds, factor=1.0, start=0.0):
    """Audio in pieces of 0.1 s that arrive ``factor`` times as fast as they last."""
    return [(start + i * 0.1 / factor, 0.1) for i in range(round(seconds * factor * 10))]


@pytest.mark.parametrize(
    ("limits", "scene", "at", "kind"),
    [
        ({}, [], 1e9, None),
        ({"idle_s": 5}, [], 4.9, None),
        ({"idle_s": 5}, [], 5.0, Kind.IDLE),
        ({"idle_s": 5}, [(3, 0.1)], 7.9, None),
        ({"idle_s": 5}, [(3, 0.1)], 8.0, Kind.IDLE),
        ({"idle_s": 5}, [(3, None)], 7.9, None),
        ({"idle_s": 5}, [(3, None)], 8.0, Kind.IDLE),
        ({"longest_s": 60}, steady(59), 59.9, None),
        ({"longest_s": 60}, steady(59), 60.0, Kind.TOO_LONG),
        ({"longest_s": 60, "idle_s": 5}, [], 60.0, Kind.TOO_LONG),
        ({"fast_s": 3}, steady(30), 30.0, None),
        ({"fast_s": 3}, steady(30, 1.05), 30.0, None),
        ({"fast_s": 3}, steady(4, 2.0), 4.0, None),
        ({"fast_s": 3}, steady(5.5, 2.0), 5.5, Kind.TOO_FAST),
        ({"fast_s": 3}, [(0, SLACK_S)], 10.0, None),
        ({"fast_s": 3}, [(0, 60.0), (2.9, 0.1)], 2.9, None),
        ({"fast_s": 3}, [(0, 60.0), (3.0, 0.1)], 3.0, Kind.TOO_FAST),
        ({"fast_s": 3}, [(0, 6.0), (5.0, 0.1), (6.0, 0.1)], 9.0, None),  # real time has caught up
        ({"fast_s": 3}, [(0, 6.0)], 20.0, None),  # also without a further message
        ({"fast_s": 3}, [(0, 6.0), (10.0, 6.0)], 11.0, None),  # two bursts are not one
    ],
)
def test_limits(limits, scene, at, kind):
    assert played(limits, scene).check(100.0 + at) is kind


@pytest.mark.parametrize(
    ("limits", "scene", "at", "wait"),
    [
        ({}, [], 0, None),
        ({"fast_s": 3}, [(0, 60.0)], 0, None),
        ({"idle_s": 5}, [], 0, 5),
        ({"idle_s": 5}, [(2, 0.1)], 3, 4),
        ({"idle_s": 5}, [(2, None)], 3, 4),
        ({"idle_s": 5}, [], 9, 0),
        ({"longest_s": 60}, [(2, 0.1)], 3, 57),
        ({"longest_s": 60, "idle_s": 5}, [(57, 0.1)], 58, 2),
        ({"flush_s": 0.5}, [], 0, None),
        ({"flush_s": 0.5}, [(1, 0.1)], 1.25, 0.25),
        ({"flush_s": 0.5, "idle_s": 5}, [(1, 0.1)], 1, 0.5),
    ],
)
def test_how_long_to_wait(limits, scene, at, wait):
    assert played(limits, scene).wait(100.0 + at) == (wait if wait is None else pytest.approx(wait))


def test_flush_is_due_once_per_stop():
    pace = Pace(Limits(flush_s=0.5), 0.0)
    assert not pace.flush_due(9.0)
    assert pace.audio(0.1, 10.0)
    assert not pace.audio(0.1, 10.1)
    assert not pace.flush_due(10.5)
    assert pace.flush_due(10.6)
    assert not pace.flush_due(10.7)
    assert pace.wait(10.7) is None
    assert pace.audio(0.1, 11.0)
    assert pace.flush_due(11.5)


def test_without_a_flush_audio_makes_nothing_due_earlier():
    pace = Pace(Limits(idle_s=1), 0.0)
    assert not pace.audio(0.1, 0.5)
    assert not pace.flush_due(100.0)


def test_what_a_stalled_network_kept_back_does_not_count_as_fast():
    pace, now = Pace(Limits(fast_s=60.0), 0.0), 0.0
    for second in range(1, 400):
        now += 1.0
        if second == 100:
            now += 30.0
            pace.audio(30.0, now)
        pace.audio(1.0, now)
        assert pace.check(now) is None
    for _ in range(300):
        now += 0.5
        pace.audio(1.0, now)
    assert pace.check(now) is Kind.TOO_FAST
