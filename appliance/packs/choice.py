"""Which of several models a device takes: the first one, in order of accuracy, that it is fast enough for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

LONGEST_FINAL_S = 1.5
"""Seconds from the end of an utterance to its final, from which on people think that nothing happens."""
ONE_STREAM = 1.0
"""Cores. A stream is recognised by one thread of one worker, so it never has more than one core."""


class Cost(Struct, frozen=True):
    """What one stream of a model costs on this device, as calibration measured it."""

    cores: float
    """Cores per stream in real time."""
    final_s: float = 0.0
    """Seconds that a final takes; 0 when it was not measured."""


class Choice(Struct, frozen=True):
    """The chosen model and why the ones before it were passed over."""

    name: str
    reasons: tuple[str, ...] = ()
    """One for each model that is more accurate and too slow, in words."""
    able: bool = True
    """False when the chosen model is too slow, too, and no other is left."""


def too_slow(cost: Cost | None, cores: float) -> str:
    """Return why one stream of a model does not fit, in words; empty when it fits, and when its cost is unknown.

    ``cores``: those that may be promised to streams.
    """
    if cost is None:
        return ""
    limit = min(ONE_STREAM, cores)
    if cost.cores > limit:
        return f"one stream takes {cost.cores:.2f} of {limit:.2f} cores"
    if cost.final_s > LONGEST_FINAL_S:
        return f"a final takes {cost.final_s:.1f} s; {LONGEST_FINAL_S} s are acceptable"
    return ""


def choose(candidates: Sequence[str], costs: Mapping[str, Cost], cores: float) -> Choice:
    """Return the first of ``candidates`` that fits; the one with the lowest cost when none does.

    ``candidates`` are names, most accurate first, at least one. A model that is not in ``costs`` counts as able.
    """
    reasons: list[str] = []
    for name in candidates:
        reason = too_slow(costs.get(name), cores)
        if not reason:
            return Choice(name, tuple(reasons))
        reasons.append(f"{name} is too slow here: {reason}")
    return Choice(min(candidates, key=lambda name: costs[name].cores), tuple(reasons), able=False)
