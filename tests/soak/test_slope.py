"""The judgement of the soak, on figures whose truth is known. Runs with the fast tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soak.slope import DAY_S, Bound, Slope, grows, slope, slope_within
from tests.soak.slope import _student as student

STEP_S = 2.0
NOTHING = Bound(per_day=0, step=0)


def clock(count: int) -> list[float]:
    return [STEP_S * number for number in range(count)]


def wander(seed: int, count: int, alike: float) -> NDArray[np.float64]:
    """Noise of deviation 1 whose neighbours are alike, as memory is while streams come and go."""
    chance = np.random.default_rng(seed)
    values = np.empty(count)
    values[0] = chance.standard_normal()
    for number in range(1, count):
        values[number] = alike * values[number - 1] + math.sqrt(1 - alike**2) * chance.standard_normal()
    return values


def test_a_straight_line() -> None:
    found = slope(clock(50), [7 + 0.25 * time for time in clock(50)])
    assert found.per_s == pytest.approx(0.25)
    assert found.low == pytest.approx(0.25)
    assert found.high == pytest.approx(0.25)
    assert found.span_s == 98
    assert grows(found, NOTHING)


def test_what_stays_the_same() -> None:
    assert not grows(slope(clock(50), [13.0] * 50), NOTHING)


@pytest.mark.parametrize(("alike", "most"), [(0.0, 4), (0.5, 4), (0.8, 10), (0.9, 20)])
def test_noise_is_rarely_taken_for_growth(alike: float, most: int) -> None:
    """One in a thousand; more where samples are still alike after a block's length. Then the bounds decide."""
    found = [slope(clock(210), list(wander(seed, 210, alike))) for seed in range(1000)]
    assert sum(grows(one, NOTHING) for one in found) <= most


@pytest.mark.parametrize(("alike", "share"), [(0.0, 100), (0.5, 100), (0.9, 90)])
def test_growth_in_noise_is_found(alike: float, share: int) -> None:
    """By ten deviations over the run; noise that wanders far by itself hides some."""
    growth = np.linspace(0, 10, 210)
    found = [slope(clock(210), list(wander(seed, 210, alike) + growth)) for seed in range(100)]
    assert sum(grows(one, NOTHING) for one in found) >= share


def test_the_interval_holds_the_truth() -> None:
    truth = 0.01
    held = 0
    for seed in range(300):
        found = slope(clock(210), list(wander(seed, 210, 0.8) + truth * np.array(clock(210))))
        held += found.low <= truth <= found.high
    assert held >= 295


@pytest.mark.parametrize("power", [0.7, 1.0, 1.5])
def test_growth_that_is_not_even_is_found(power: float) -> None:
    """Memory as a daemon that leaked had it: 8 MiB in 7 minutes, a little less as time went on, hardly any noise."""
    growth = 36 + 8 * np.linspace(0, 1, 210) ** power + 0.1 * wander(0, 210, 0.5)
    assert grows(slope(clock(210), list(growth)), Bound(per_day=48, step=1))


def test_one_step_is_no_slope() -> None:
    """A pool that takes one more thread in the middle of the run, and then no more."""
    threads = [5.0] * 100 + [6.0] * 100
    assert not grows(slope(clock(200), threads), Bound(per_day=10, step=1.6))


def test_a_leak_of_descriptors_is_a_slope() -> None:
    descriptors = [40.0 + number // 20 for number in range(200)]
    found = slope(clock(200), descriptors)
    assert grows(found, Bound(per_day=10, step=1.6))
    assert found.per_s * DAY_S == pytest.approx(DAY_S / 20 / STEP_S, rel=0.05)


def test_growth_of_no_consequence_passes() -> None:
    found = Slope(per_s=1e-4, low=5e-5, high=2e-4, span_s=600)
    assert grows(found, Bound(per_day=8, step=0.05))
    assert not grows(found, Bound(per_day=9, step=0.05))
    assert not grows(found, Bound(per_day=8, step=0.07))


def test_lives_have_levels_of_their_own() -> None:
    """A process that is started again each minute and grows in each of them."""
    lives = [(clock(30), [level + 0.1 * time for time in clock(30)]) for level in (20.0, 14.0, 30.0, 25.0)]
    found = slope_within(lives)
    assert found.per_s == pytest.approx(0.1)
    assert found.span_s == 4 * 58
    assert grows(found, NOTHING)


@pytest.mark.parametrize("lives", [[], [([1.0], [2.0])], [([0.0, 2.0, 4.0], [1.0, 2.0, 4.0])]])
def test_too_little_to_tell(lives: list[tuple[list[float], list[float]]]) -> None:
    found = slope_within(lives)
    assert math.isinf(found.low)
    assert not grows(found, NOTHING)


@pytest.mark.parametrize(("freedom", "quantile"), [(10, 4.144), (30, 3.385), (100, 3.174)])
def test_students_quantile(freedom: int, quantile: float) -> None:
    """Of 99.9 %, from the tables."""
    assert student(0.999, freedom) == pytest.approx(quantile, rel=0.01)
