"""The tables of light: what the owner must be able to rely on, for every combination of facts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.lights import (
    ACTIVITY,
    DARK,
    LIT,
    STATUS,
    Facts,
    Lamp,
    Pattern,
    State,
    lit,
    patterns,
    states,
    until_edge,
)

README = Path(__file__).parents[2] / "hardware" / "README.md"

WORDS: dict[State, str] = {
    State.FAULT: "four short flashes",
    State.STOPPING: "1.5 s on, 1.5 s off",
    State.BOOTING: "0.5 s on, 0.5 s off",
    State.NO_MODEL: "two short flashes",
    State.OVERLOADED: "three short flashes",
    State.MUTED: "one short flash",
    State.SPEECH: "flickers, six times a second",
    State.TRANSCRIBING: "blinks fast, two and a half times a second",
    State.CLIENT: "lit, with two short gaps",
    State.MICROPHONE: "lit, with one short gap",
    State.READY: "lit",
}

counts = st.integers(0, 3)
facts = st.builds(
    Facts,
    **{name: st.booleans() for name in ("starting", "model", "fault", "overloaded", "draining")},
    **{name: st.booleans() for name in ("transcribing", "speech", "muted")},
    **dict.fromkeys(("clients", "cards_open", "microphones"), counts),
)

CASES = {
    State.FAULT: Facts(fault=True, starting=True, muted=True, microphones=1),
    State.STOPPING: Facts(draining=True, clients=2),
    State.BOOTING: Facts(starting=True, model=False),
    State.NO_MODEL: Facts(model=False, microphones=1),
    State.OVERLOADED: Facts(overloaded=True, speech=True, clients=9),
    State.MUTED: Facts(muted=True, microphones=1, clients=1),
    State.SPEECH: Facts(speech=True, transcribing=True, cards_open=1, microphones=1),
    State.TRANSCRIBING: Facts(transcribing=True, clients=1),
    State.CLIENT: Facts(clients=1, cards_open=1, microphones=1),
    State.MICROPHONE: Facts(cards_open=1, microphones=1),
    State.READY: Facts(microphones=1),
}


def levels(pattern: Pattern) -> set[bool]:
    return {lit(pattern, ms) for ms in range(0, sum(length for _, length in pattern), 10)}


@given(facts)
def test_an_open_card_is_always_seen_and_a_closed_one_never_looks_open(facts: Facts) -> None:
    shown = levels(patterns(facts)[Lamp.MICROPHONE])
    if facts.cards_open:
        assert shown == {True}
    else:
        assert False in shown


@given(facts)
def test_every_lamp_has_a_pattern_that_can_be_played(facts: Facts) -> None:
    shown = patterns(facts)
    assert set(shown) == set(Lamp)
    for pattern in shown.values():
        assert all(ms > 0 for _, ms in pattern)


@pytest.mark.parametrize("state", State)
def test_the_most_important_state_has_the_status_lamp(state: State) -> None:
    assert states(CASES[state])[0] is state
    assert patterns(CASES[state])[Lamp.STATUS] == STATUS[state]


def test_the_status_lamp_alone_tells_all_states_apart() -> None:
    """Also for who looks at any moment: what counts is the repeating figure, not where it begins."""

    def figure(pattern: Pattern) -> frozenset[tuple[tuple[bool, int], ...]]:
        if len(levels(pattern)) == 1:
            return frozenset({((pattern[0][0], 0),)})
        return frozenset(pattern[i:] + pattern[:i] for i in range(len(pattern)))

    assert len({figure(STATUS[state]) for state in State}) == len(State)


def test_flashes_and_winks_repeat_every_two_seconds() -> None:
    for state in (State.FAULT, State.NO_MODEL, State.OVERLOADED, State.MUTED, State.CLIENT, State.MICROPHONE):
        assert sum(ms for _, ms in STATUS[state]) == 2000
    assert [on for on, _ in STATUS[State.FAULT]].count(True) == 4


def test_muted_is_not_the_same_as_no_microphone() -> None:
    muted = patterns(Facts(muted=True, microphones=1))
    absent = patterns(Facts(muted=False, microphones=1))
    assert levels(muted[Lamp.MICROPHONE]) == {False, True}
    assert absent[Lamp.MICROPHONE] == DARK
    assert muted[Lamp.STATUS] != absent[Lamp.STATUS]
    assert patterns(Facts(muted=True, microphones=0))[Lamp.MICROPHONE] == DARK
    assert patterns(Facts(muted=True, microphones=1, cards_open=1))[Lamp.MICROPHONE] == LIT


def test_the_activity_lamp_goes_on_under_a_more_important_state() -> None:
    busy = patterns(Facts(overloaded=True, speech=True, transcribing=True, clients=2))
    assert (busy[Lamp.STATUS], busy[Lamp.ACTIVITY]) == (STATUS[State.OVERLOADED], ACTIVITY[State.SPEECH])
    assert patterns(Facts())[Lamp.ACTIVITY] == DARK


@given(facts, st.integers(0, 100_000))
def test_an_edge_is_where_the_light_changes(facts: Facts, ms: int) -> None:
    for pattern in patterns(facts).values():
        left = until_edge(pattern, ms)
        if left is None:
            assert len(levels(pattern)) == 1
        else:
            assert lit(pattern, ms + left) is not lit(pattern, ms)
            assert all(lit(pattern, ms + some) is lit(pattern, ms) for some in range(0, left, 7))


def test_the_owner_s_table_says_what_the_code_does() -> None:
    text = README.read_text(encoding="utf-8")
    table = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \|", text, re.MULTILINE)
    activity = {pattern: WORDS[state] for state, pattern in STATUS.items()} | {DARK: "–"}
    assert table == [(state.value, WORDS[state], activity[ACTIVITY.get(state, DARK)]) for state in State]


def test_the_words_for_blinking_are_true() -> None:
    assert STATUS[State.STOPPING] == ((True, 1500), (False, 1500))
    assert STATUS[State.BOOTING] == ((True, 500), (False, 500))
    assert round(1000 / sum(ms for _, ms in STATUS[State.SPEECH])) == 6
    assert 1000 / sum(ms for _, ms in STATUS[State.TRANSCRIBING]) == 2.5
    for state, count in ((State.FAULT, 4), (State.OVERLOADED, 3), (State.NO_MODEL, 2), (State.MUTED, 1)):
        assert [ms for on, ms in STATUS[state] if on] == [120] * count
    for state, count in ((State.CLIENT, 2), (State.MICROPHONE, 1)):
        assert [ms for on, ms in STATUS[state] if not on] == [120] * count
    assert STATUS[State.READY] == LIT
