import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scheduling.lag import AHEAD_S, NEWS_S, Lag

RATE = 1_000
"""Bytes per second, so that a byte is a millisecond."""


def arriving(*chunks):
    lag = Lag(RATE)
    for at, size in chunks:
        lag.arrived(size, at)
    return lag


@pytest.mark.parametrize(
    ("chunks", "consumed", "at", "late"),
    [
        ([], 0, 5.0, 0.0),
        ([(0.0, 100)], 0, 0.0, 0.0),
        ([(0.0, 100)], 0, 0.4, 0.4),
        ([(0.0, 100)], 50, 0.4, 0.35),
        ([(0.0, 100)], 100, 9.0, 0.0),
        # sent at once: a byte is due when those before it have been heard
        ([(0.0, 10_000)], 5_000, 5.0, 0.0),
        ([(0.0, 10_000)], 5_000, 6.0, 1.0),
        ([(0.0, 10_000)], 9_000, 5.0, 0.0),
        # a pause is not held against us
        ([(0.0, 100), (10.0, 100)], 100, 10.0, 0.0),
        ([(0.0, 100), (10.0, 100)], 100, 10.25, 0.25),
        ([(0.0, 100), (10.0, 100)], 0, 10.25, 10.25),
        # ahead of real time and then in real time: what was gained stays gained
        ([(0.0, 2_000), (0.5, 100), (0.6, 100)], 2_000, 2.0, 0.0),
        ([(0.0, 2_000), (0.5, 100), (0.6, 100)], 2_100, 2.5, 0.4),
    ],
)
def test_how_late_a_report_finds_it(chunks, consumed, at, late):
    lag = arriving(*chunks)
    lag.dealt(consumed, at)
    assert lag.least_s(at) == pytest.approx(late, abs=1e-6)


def test_between_reports_only_what_should_have_been_reported_counts():
    lag = arriving((0.0, 100))
    assert lag.late_s(0.3) == 0.0
    assert lag.late_s(NEWS_S + 2.0) == pytest.approx(2.0)
    lag.dealt(50, 3.0)
    assert lag.late_s(3.0) == lag.late_s(3.2) == pytest.approx(2.95)


def test_the_least_since_it_was_asked_is_what_is_left_over():
    lag = arriving((0.0, 1_000), (1.0, 1_000))
    lag.dealt(0, 1.5)
    lag.dealt(1_000, 1.6)
    lag.dealt(1_100, 1.9)
    assert lag.least_s(2.0) == pytest.approx(0.6)
    assert lag.least_s(4.0) == pytest.approx(4.0 - NEWS_S - 1.1)


@pytest.mark.parametrize(
    ("chunks", "end", "at", "waited"),
    [
        ([(0.0, 100), (0.1, 100)], 200, 0.25, 0.15),
        ([(0.0, 100), (0.1, 100)], 150, 0.25, 0.15),
        ([(0.0, 100), (0.1, 100)], 100, 0.25, 0.25),
        ([(0.0, 100)], 101, 0.25, None),
        ([], 1, 0.25, None),
        # a file: most of it was not live
        ([(0.0, 60_000)], 30_000, 3.0, None),
        ([(0.0, 60_000)], int(AHEAD_S * RATE) - 1, 3.0, 3.0),
    ],
)
def test_since_the_audio_of_a_final_came(chunks, end, at, waited):
    assert arriving(*chunks).waited_s(end, at) == (None if waited is None else pytest.approx(waited))


@pytest.mark.parametrize("piece", [20, 100])
def test_a_final_with_nothing_new_consumed_is_still_measured(piece):
    """The end of speech was reported first, at the same byte; and again a turn later, with more audio there."""
    lag, at = Lag(RATE), 0.0
    for number in range(1, 50):
        at += piece / RATE
        lag.arrived(piece, at)
        lag.dealt(number * piece, at + 0.001)
        assert lag.waited_s(number * piece, at + 0.005) == pytest.approx(0.005, abs=0.02)
    lag.arrived(piece, at + piece / RATE)
    assert lag.waited_s(number * piece, at + piece / RATE) == pytest.approx(piece / RATE, abs=0.02)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 800)), min_size=1, max_size=40), st.data())
def test_it_is_as_the_definition_has_it_byte_by_byte(steps, data):
    """A byte is due at its arrival, or a byte's duration after the one before it, whichever is later."""
    lag, at, due, came = Lag(RATE), 0.0, [], []
    for wait, size in steps:
        at += 0.021 + wait  # closer ones are taken as one; 0.02 may be a little less in a sum
        lag.arrived(size, at)
        for _ in range(size):
            due.append(max(at, due[-1] + 1 / RATE if due else at))
            came.append(at)
    consumed = data.draw(st.integers(0, len(due) - 1))
    now = at + data.draw(st.floats(0, 3))
    assert lag.waited_s(consumed + 1, now) in (None, pytest.approx(now - came[consumed]))
    lag.dealt(consumed, now)
    assert lag.least_s(now) == pytest.approx(max(0.0, now - due[consumed]), abs=1e-6)


def test_a_flood_of_little_pieces_does_not_grow_without_bound():
    lag = Lag(RATE)
    for number in range(20_000):
        lag.arrived(1, number * 0.05)
    assert len(lag._marks) < 5_000
    lag.dealt(20_000, 1_000.0)
    assert lag.late_s(2_000.0) == 0.0
