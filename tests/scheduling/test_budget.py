import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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


def priced(cores, headroom, microphones=(), streams=0, **costs):
    budget = Budget(cores, streams, headroom)
    budget.price(costs)
    budget.reserve(map(named, microphones))
    return budget


def named(name):
    return structs.replace(model(4), model=name)


@pytest.mark.parametrize(
    ("cores", "headroom", "cost", "room"),
    [
        (4.0, 0.8, 0.1, 32),
        (0.6, 0.8, 0.06, 8),
        (0.6, 0.5, 0.06, 5),
        (2.0, 1.0, 0.5, 4),
        (1.0, 0.8, 0.81, 1),
        (1, 1, 9, 1),
    ],
)
def test_what_was_measured_counts(cores, headroom, cost, room):
    budget = priced(cores, headroom, m=cost)
    assert budget.free(named("m")) == room
    assert fill(budget, named("m")) == room


@pytest.mark.parametrize("headroom", [0.5, 0.8, 1.0])
def test_a_guess_leaves_the_headroom_itself(headroom):
    assert Budget(2, headroom=headroom).free(model(5)) == 10


def test_room_for_microphones_is_no_room_for_clients():
    budget = priced(1.0, 1.0, ["m", "big"], m=0.1, big=0.35)
    assert budget.free(named("m")) == 5
    assert budget.free(named("big")) == 1
    assert fill(budget, named("m")) == 5
    budget.take(named("m"), reserved=True)
    budget.take(named("big"), reserved=True)
    assert budget.used == pytest.approx(0.95)
    with pytest.raises(Refused):
        budget.take(named("m"))
    budget.give_back(named("big"), reserved=True)
    with pytest.raises(Refused):
        budget.take(named("big"))
    budget.take(named("big"), reserved=True)
    assert budget.open == 7


def test_a_microphone_may_begin_anew_before_its_last_words_are_told_but_not_without_end():
    budget = priced(0.5, 1.0, ["m"], m=0.25)
    budget.take(named("m"))
    budget.take(named("m"), reserved=True)
    budget.take(named("m"), reserved=True)
    with pytest.raises(Refused):
        budget.take(named("m"), reserved=True)
    budget.give_back(named("m"), reserved=True)
    with pytest.raises(Refused):
        budget.take(named("m"))


def test_a_microphone_is_let_in_where_nothing_fits_and_while_clients_are_refused():
    budget = priced(0.1, 0.8, ["m", "m"], m=0.5)
    budget.closed = "it is falling behind"
    budget.take(named("m"), reserved=True)
    budget.take(named("m"), reserved=True)
    with pytest.raises(Refused, match="falling behind"):
        budget.take(named("m"))


def test_when_nothing_is_open_one_always_fits():
    budget = priced(0.1, 0.8, ["m"], m=0.5)
    budget.closed = "it is falling behind"
    assert budget.free(named("m")) == 1
    budget.take(named("m"))
    assert budget.free(named("m")) == 0


def test_other_microphones_than_before():
    budget = priced(1.0, 1.0, ["m"], m=0.5)
    assert budget.free(named("m")) == 1
    budget.reserve([])
    assert budget.free(named("m")) == 2


def test_a_limit_of_streams_counts_microphones_too():
    budget = priced(1.0, 1.0, ["m"], streams=3, m=0.9)
    assert fill(budget, named("m")) == 2
    budget.take(named("m"), reserved=True)
    assert budget.open == 3


def test_fits_without_streams_that_end_counts_their_room():
    budget = Budget(1, headroom=1.0)
    small, large = model(4), structs.replace(model(2), model="large")
    for _ in range(3):
        budget.take(small)
    assert not budget.fits_without(large, [])
    assert budget.fits_without(large, [small])
    assert budget.open == 3, "nothing is changed by asking"
    budget.closed = "falling behind"
    assert not budget.fits_without(small, [small, small])
    assert budget.fits_without(small, [small] * 3), "one stream always fits"
