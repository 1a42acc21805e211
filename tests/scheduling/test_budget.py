import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.scheduling.budget import Budget


def model(streams_per_core):
    return Capabilities(
        engine="fake",
        model=f"m{streams_per_core}",
        language="en",
        grammar=True,
        word_confidence=True,
        sessions_per_worker=1,
        streams_per_core=streams_per_core,
    )


def fill(budget, kind):
    for count in range(10_000):
        try:
            budget.take(kind)
        except Refused as refused:
            assert refused.problem.kind is Kind.TOO_MANY_STREAMS
            assert str(count) in refused.problem.detail or budget.open != count
            return count
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("cores", "streams", "per_core", "room"),
    [
        (1, 0, 3, 3),
        (4, 0, 3, 12),
        (4, 0, 8, 32),
        (1, 0, 10, 10),
        (7, 0, 7, 49),
        (2, 5, 3, 5),
        (4, 1, 8, 1),
        (4, 100, 1, 100),
    ],
)
def test_how_many_fit(cores, streams, per_core, room):
    budget = Budget(cores, streams)
    assert budget.free(model(per_core)) == room
    assert fill(budget, model(per_core)) == room
    assert budget.free(model(per_core)) == 0


def test_models_share_the_cores():
    budget = Budget(2)
    for _ in range(3):
        budget.take(model(3))
    assert budget.free(model(3)) == 3
    assert budget.free(model(8)) == 8
    assert fill(budget, model(8)) == 8
    budget.give_back(model(3))
    assert budget.free(model(8)) == 2
    assert budget.free(model(3)) == 1


def test_a_refusal_takes_nothing():
    budget = Budget(1)
    budget.take(model(1))
    with pytest.raises(Refused, match="1 are open"):
        budget.take(model(1))
    assert (budget.open, budget.used) == (1, 1.0)


@given(st.integers(1, 8), st.integers(0, 6), st.lists(st.tuples(st.booleans(), st.integers(1, 16)), max_size=60))
def test_what_is_free_can_be_taken_and_all_comes_back(cores, streams, steps):
    budget, held = Budget(cores, streams), []
    for take, per_core in steps:
        kind = model(per_core)
        if take:
            room = budget.free(kind)
            try:
                budget.take(kind)
            except Refused:
                assert room == 0
            else:
                assert room > 0
                held.append(kind)
        elif held:
            budget.give_back(held.pop())
        assert budget.open == len(held)
    for kind in held:
        budget.give_back(kind)
    assert budget.used == pytest.approx(0)
    assert budget.free(model(5)) == (streams or 5 * cores)
