"""Whether a figure grows: the least-squares slope of its samples, and how far that can be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

DAY_S = 86_400
CONFIDENCE = 0.999
"""That the true slope is above ``low``, and likewise below ``high``. A dozen figures are judged in each run."""
BLOCKS = 12
"""Means that the samples are made into. Neighbouring samples are alike, for a stream lasts for several; means of
twenty are nearly independent, and a leak that is not quite even is still a line through them."""
LEAST_FREEDOM = 5

Life = tuple[Sequence[float], Sequence[float]]
"""Times and values."""


class Slope(Struct, frozen=True):
    """Per second, with the ends of its confidence interval."""

    per_s: float
    low: float
    high: float
    span_s: float
    """Seconds from the first sample to the last."""


class Bound(Struct, frozen=True):
    """What a figure may seem to grow by: ``per_day``, and by less than ``step`` over the whole run."""

    per_day: float
    step: float


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Of ``values`` over ``times`` (seconds, ascending, about evenly spaced).

    Too few samples: an infinite interval.
    """
    return slope_within([(times, values)])


def slope_within(lives: Sequence[Life]) -> Slope:
    """The common slope of several lives, each at a level of its own: one process after another in the same part."""
    lives = [life for life in lives if len(life[0]) >= 4]
    count = sum(len(times) for times, _ in lives)
    span = sum(times[-1] - times[0] for times, _ in lives)
    blocks = [_blocks(life, min(max(2, round(BLOCKS * len(life[0]) / count)), len(life[0]) // 2)) for life in lives]
    x, y = (np.concatenate([life[axis] for life in blocks]) if blocks else np.zeros(0) for axis in (0, 1))
    freedom = len(x) - len(lives) - 1
    spread = float(x @ x)
    estimate = float(x @ y) / spread if spread else 0.0
    if freedom < LEAST_FREEDOM:
        return Slope(estimate, -math.inf, math.inf, span)
    residuals = y - estimate * x
    error = math.sqrt(float(residuals @ residuals) / freedom / spread)
    reach = _student(CONFIDENCE, freedom) * error
    return Slope(estimate, estimate - reach, estimate + reach, span)


def grows(found: Slope, bound: Bound) -> bool:
    """Surely above zero, and by more than is of any consequence."""
    return found.low > 0 and found.per_s * DAY_S > bound.per_day and found.per_s * found.span_s > bound.step


def _blocks(life: Life, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of times and values over so many stretches of a life, about its own means."""
    means = [np.array([part.mean() for part in np.array_split(np.asarray(axis, float), number)]) for axis in life]
    return means[0] - means[0].mean(), means[1] - means[1].mean()


def _student(confidence: float, freedom: float) -> float:
    """The quantile of Student's distribution, from the normal one's (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(confidence)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
