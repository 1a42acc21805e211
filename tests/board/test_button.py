"""Presses, from edges and their times alone."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.button import DEBOUNCE_S, LONG_S, SHORT_S, Gesture, GpiodButton, Press
from appliance.board.lamps import LampError


def gestures(edges: list[tuple[bool, float]], until: float = 100.0) -> list[tuple[Gesture, float]]:
    """What comes of these edges, and when, for a caller that wakes exactly when told to."""
    press, found, waiting, now = Press(), [], list(edges), 0.0
    while True:
        due = press.due()
        if waiting and (due is None or waiting[0][1] <= due):
            down, now = waiting.pop(0)
            gesture = press.edge(down, now)
        elif due is not None and due <= until:
            now = max(now, due)
            gesture = press.advance(now)
        else:
            return found
        if gesture is not None:
            found.append((gesture, now))


def pressed(at: float, for_s: float) -> list[tuple[bool, float]]:
    return [(True, at), (False, at + for_s)]


def bouncing(down: bool, at: float) -> list[tuple[bool, float]]:
    return [(down, at), (not down, at + 0.002), (down, at + 0.005), (not down, at + 0.011), (down, at + 0.012)]


def test_a_short_press_is_told_when_it_is_over() -> None:
    assert gestures(pressed(1.0, 0.2)) == [(Gesture.SHORT, pytest.approx(1.2 + DEBOUNCE_S))]


def test_a_long_press_is_told_while_it_is_held() -> None:
    assert gestures(pressed(1.0, 7.0)) == [(Gesture.LONG, pytest.approx(1.0 + LONG_S))]


@pytest.mark.parametrize("seconds", [SHORT_S, 2.0, LONG_S - 0.01])
def test_between_short_and_long_is_nothing(seconds: float) -> None:
    assert gestures(pressed(1.0, seconds)) == []


def test_bouncing_contacts_are_one_press() -> None:
    edges = [*bouncing(True, 1.0), *bouncing(False, 1.5)]
    assert [gesture for gesture, _ in gestures(edges)] == [Gesture.SHORT]


def test_a_spike_is_nothing() -> None:
    assert gestures(pressed(1.0, DEBOUNCE_S - 0.005)) == []


def test_a_spike_of_release_does_not_end_a_long_press() -> None:
    edges = [(True, 1.0), (False, 2.0), (True, 2.01), (False, 9.0)]
    assert gestures(edges) == [(Gesture.LONG, pytest.approx(4.0))]


def test_presses_in_a_row_are_told_one_by_one() -> None:
    edges = [*pressed(1.0, 0.1), *pressed(1.3, 0.1), *pressed(2.0, 4.0), *pressed(7.0, 0.1)]
    assert [gesture for gesture, _ in gestures(edges)] == [Gesture.SHORT, Gesture.SHORT, Gesture.LONG, Gesture.SHORT]


def test_a_caller_that_comes_late_still_gets_the_right_gesture() -> None:
    press = Press()
    assert press.edge(True, 1.0) is None
    assert press.edge(False, 9.0) is Gesture.LONG
    assert press.advance(20.0) is None
    press = Press()
    press.edge(True, 1.0)
    press.edge(False, 1.2)
    assert press.advance(20.0) is Gesture.SHORT
    assert press.due() is None


@given(st.lists(st.floats(0.001, 5.0), max_size=30))
def test_never_more_gestures_than_presses_and_always_at_rest_at_the_end(gaps: list[float]) -> None:
    at, edges = 1.0, []
    for index, gap in enumerate(gaps):
        edges.append((index % 2 == 0, at))
        at += gap
    edges.append((False, at))
    found = gestures(edges, until=1000.0)
    assert len(found) <= (len(gaps) + 1) // 2
    long = sum(gap >= LONG_S + DEBOUNCE_S for gap in gaps[::2])
    assert sum(gesture is Gesture.LONG for gesture, _ in found) >= long


def test_a_button_without_its_line_says_so(tmp_path: Path) -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed")

    async def main() -> None:
        with pytest.raises(LampError, match="GPIO line GPIO23: not found; no GPIO chip"):
            GpiodButton("GPIO23", print, print, devices=tmp_path)

    asyncio.run(main(), debug=True)


def test_without_the_library_there_is_no_button(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gpiod", "gpiod.line"):
        monkeypatch.setitem(sys.modules, module, None)

    async def main() -> None:
        with pytest.raises(LampError, match="GPIO line GPIO23: the library gpiod is missing"):
            GpiodButton("GPIO23", lambda: None, lambda: None)

    asyncio.run(main(), debug=True)
