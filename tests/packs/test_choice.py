import pytest

from appliance.packs.choice import LONGEST_FINAL_S, Choice, Cost, choose, too_slow

BASE, TINY, VOSK = "base", "tiny", "vosk"
ALL = (BASE, TINY, VOSK)
FAST, SLOW, LATE = Cost(0.1, 0.2), Cost(1.4, 0.9), Cost(0.3, 1.6)


@pytest.mark.parametrize(
    ("costs", "cores", "chosen", "reasons"),
    [
        # without figures every model counts as able
        ({}, 4.0, BASE, 0),
        ({TINY: SLOW, VOSK: SLOW}, 4.0, BASE, 0),
        # the most accurate one that is fast enough
        ({BASE: FAST, TINY: FAST}, 4.0, BASE, 0),
        ({BASE: SLOW, TINY: FAST}, 4.0, TINY, 1),
        ({BASE: LATE, TINY: FAST}, 4.0, TINY, 1),
        ({BASE: SLOW}, 4.0, TINY, 1),
        ({BASE: SLOW, TINY: LATE, VOSK: FAST}, 4.0, VOSK, 2),
        # a final that was not measured is no reason
        ({BASE: Cost(0.9)}, 4.0, BASE, 0),
        # exactly at the limits
        ({BASE: Cost(1.0, LONGEST_FINAL_S)}, 4.0, BASE, 0),
        # a device with a part of a core
        ({BASE: Cost(0.5, 0.5), TINY: FAST}, 0.4, TINY, 1),
    ],
)
def test_the_most_accurate_model_that_fits_is_chosen(costs, cores, chosen, reasons):
    choice = choose(ALL, costs, cores)
    assert (choice.name, len(choice.reasons), choice.able) == (chosen, reasons, True)


def test_the_cheapest_is_taken_when_none_fits():
    choice = choose(ALL, {BASE: Cost(3.0), TINY: Cost(1.2), VOSK: Cost(2.0)}, 4.0)
    assert (choice.name, choice.able, len(choice.reasons)) == (TINY, False, 3)


def test_a_single_candidate_is_taken_whatever_it_costs():
    assert choose((BASE,), {BASE: SLOW}, 4.0).name == BASE
    assert choose((BASE,), {}, 4.0) == Choice(BASE)


@pytest.mark.parametrize(
    ("cost", "cores", "words"),
    [
        (None, 1.0, ""),
        (FAST, 1.0, ""),
        (SLOW, 4.0, "one stream takes 1.40 of 1.00 cores"),
        (Cost(0.7), 0.5, "one stream takes 0.70 of 0.50 cores"),
        (LATE, 4.0, "a final takes 1.6 s; 1.5 s are acceptable"),
    ],
)
def test_the_reason_names_figure_and_limit(cost, cores, words):
    assert too_slow(cost, cores) == words
