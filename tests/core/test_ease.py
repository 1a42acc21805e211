"""A box that falls behind sends fewer partials, and nothing else changes."""

import pytest

from appliance.core.events import Final, Partial
from appliance.core.options import Changes
from tests.core.rig import new, of, options
from tests.speech import silence, tone

TALK = tone(3.0) + silence(0.8) + tone(2.0) + silence(0.8)


def hear(slower, partial_ms=250, eased_at=0):
    session = new(options(partial_ms=partial_ms))
    events = [*session.push(TALK[:eased_at])]
    session.ease(slower)
    return [*events, *session.push(TALK[eased_at:]), *session.finish()]


def partials(events):
    return len(of(Partial, events))


@pytest.mark.parametrize("slower", [1, 2, 3, 10, 0])
def test_finals_are_as_ever(slower):
    assert of(Final, hear(slower)) == of(Final, hear(1)) != []


def test_partials_become_rare_and_then_none():
    usual, rare, none = (partials(hear(slower)) for slower in (1, 3, 0))
    assert usual > rare > none == 0
    assert rare >= usual // 4


def test_a_client_that_asked_for_none_gets_none():
    assert all(partials(hear(slower, partial_ms=0)) == 0 for slower in (1, 3, 0))


def test_it_counts_from_where_it_is_said_and_can_be_taken_back():
    half = len(tone(1.5))
    before, after = partials(hear(0, eased_at=half)), partials(hear(1))
    assert 0 < before < after
    session = new(options())
    session.ease(0)
    events = [*session.push(TALK[:half])]
    assert partials(events) == 0
    session.ease(1)
    assert partials(session.push(TALK[half:])) > 0


def test_what_a_client_changes_is_multiplied_too():
    session = new(options(partial_ms=0))
    session.ease(3)
    list(session.configure(Changes(partial_ms=250)))
    assert partials([*session.push(TALK), *session.finish()]) == partials(hear(3))
