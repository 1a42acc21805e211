"""A real daemon on a part of a core, and three times the clients that fit. ``make overload``, as root.

Timed, and so kept out of ``make test``: on a machine that is busy with other things the clients themselves are late.
"""

from __future__ import annotations

import asyncio

import pytest

from appliance.bench.corpus import made, recorded
from appliance.bench.overload import Overload, Strain, overload, small_box, strain, talk
from appliance.bench.plan import CLOSED, FREE, KIOSK, WHISPER
from appliance.bench.quota import NoQuota, quota
from tests.material import shared

pytestmark = pytest.mark.overload

CASES = {"vosk": (KIOSK, CLOSED[:3], 0.5), "whisper": (WHISPER, FREE, 0.5)}
"""Model, what is said, cores."""


@pytest.fixture(scope="module", params=CASES)
def found(request: pytest.FixtureRequest) -> tuple[Overload, Strain]:
    model, groups, cores = CASES[request.param]
    sentences = talk(recorded(shared("speech"), groups) or made(), 25.0)

    async def work() -> tuple[Overload, Strain]:
        async with small_box(model.name, limited) as child:
            # the second talk is long enough for every step back to be taken before it ends
            return await overload(child, sentences), await strain(child, sentences * 4, limited, cores)

    try:
        with quota(cores) as limited:
            measured = asyncio.run(work())
    except NoQuota as error:
        pytest.skip(f"no processor quota can be set here: {error}")
    print(*measured, sep="\n")
    return measured


def test_as_many_as_fit_are_let_in_and_the_others_learn_it_at_once(found: tuple[Overload, Strain]) -> None:
    full, _ = found
    assert full.fits >= 1
    assert (full.offered, full.admitted) == (3 * full.fits, full.fits)
    assert full.refused_p50 <= 0.1
    assert full.refused_max <= 0.3, "more than three periods in which a quota stops everyone, the event loop included"


def test_every_stream_that_was_let_in_has_its_finals_in_time(found: tuple[Overload, Strain]) -> None:
    full, _ = found
    assert full.fewest >= 3
    assert full.late_p95 <= 0.3
    assert full.late_max <= 0.3


def test_a_box_left_with_too_little_eases_and_recovers(found: tuple[Overload, Strain]) -> None:
    _, strained = found
    assert strained.highest >= 1
    assert strained.first_step_s <= 15
    assert strained.steps == 2 * strained.highest, "up, and down again, without swinging"
    assert strained.back_s < 120
    assert strained.cut_off == 0
