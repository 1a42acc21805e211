"""The trial, with a service and a clock of the test's own: when a program is kept, and when not and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from appliance.update import trial as module
from appliance.update.manifest import NotTaken
from appliance.update.releases import Places, put_up, status
from appliance.update.service import State
from appliance.update.trial import Failed, Proof, Shown, Trial, try_out
from appliance.update.verdict import Outcome, load
from tests.update.box import Box
from tests.update.test_releases import kept, staged

OLD = State("active", "running", "a", "success", "ready")
ENDING = State("deactivating", "stop-sigterm", "a", "success", "stopping")
STARTING = State("activating", "start", "b", "success", "starting: loading models")
READY = State("active", "running", "b", "success", "ready: 0 streams open")
GOOD, BUSY = Shown(Proof.GOOD, "it wrote 'ten'"), Shown(Proof.NONE, "the box is busy")
BAD = Shown(Proof.BAD, "it wrote 'nine' and not 'ten'")


class Scene:
    """States come one after the other and the last one stays; so do tries to prove it. Sleeping makes time pass."""

    def __init__(self, states: list[State], shown: list[Shown]) -> None:
        self.now = 0.0
        self.restarts = 0
        self.told: list[str] = []
        self._states = self._each(states)
        self._shown = self._each(shown)

    def trial(self) -> Trial:
        return Trial(self, lambda: next(self._shown), self.told.append, lambda: self.now, self._sleep)

    def state(self) -> State:
        return next(self._states)

    def restart(self) -> None:
        self.restarts += 1

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    @staticmethod
    def _each(things: list[Any]) -> Iterator[Any]:
        yield from things
        while True:
            yield things[-1]


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ([OLD, ENDING, STARTING, READY], [GOOD]),
        ([OLD, READY], [BUSY, BUSY, GOOD]),
        ([OLD, READY], [BAD, GOOD]),
        ([State("activating", "auto-restart", "a", "exit-code"), READY], [GOOD]),
        ([OLD, State("activating", "start-pre", ""), READY], [GOOD]),
    ],
)
def test_a_good_program_is_kept(states: list[State], shown: list[Shown]) -> None:
    scene = Scene(states, shown)
    assert scene.trial().run() == "it wrote 'ten'"
    assert scene.restarts == 1


@pytest.mark.parametrize(
    ("states", "shown", "words"),
    [
        ([OLD], [GOOD], "the old daemon does not end"),
        ([OLD, STARTING], [GOOD], r"it does not become ready \(starting: loading models\)"),
        ([OLD, STARTING, State("activating", "auto-restart", "b", "exit-code")], [GOOD], r"itself \(exit-code\)"),
        ([OLD, STARTING, State("failed", "failed", "b", "signal")], [GOOD], r"ended by itself \(signal\)"),
        ([OLD, STARTING, State("inactive", "dead", "b", "success")], [GOOD], "ended by itself"),
        ([OLD, STARTING, State("activating", "start", "c", "success", "starting")], [GOOD], "ended by itself"),
        ([OLD, STARTING, State("activating", "start", "b", "", "no model: none")], [GOOD], r"\(no model: none\)"),
        ([OLD, READY], [BAD], "it wrote 'nine' and not 'ten'"),
        ([OLD, READY], [BUSY, BAD, BUSY, BAD], "it wrote 'nine'"),
        ([OLD, READY], [BUSY], "it could not be proved in 180 s: the box is busy"),
        ([OLD, READY, READY, State("active", "running", "c")], [GOOD], "ended by itself"),
        ([OLD, READY, READY, State("activating", "auto-restart", "b", "watchdog")], [GOOD], "watchdog"),
    ],
)  # fmt: skip
def test_any_other_is_not(states: list[State], shown: list[Shown], words: str) -> None:
    scene = Scene(states, shown)
    with pytest.raises(Failed, match=words):
        scene.trial().run()
    assert scene.now <= module.STOP_S + module.START_S + module.PROVE_S + module.AGAIN_S


@pytest.mark.parametrize(("shown", "outcome", "current"), [([GOOD], Outcome.KEPT, "2.0"), ([BAD], Outcome.BACK, "1.5")])
def test_what_was_good_is_what_the_next_start_takes(
    box: Box, shown: list[Shown], outcome: Outcome, current: str
) -> None:
    kept(box, "1.5", 1_500)
    put_up(box.places, staged(box))
    scene = Scene([OLD, STARTING, READY], shown)
    verdict = try_out(box.places, scene.trial(), lambda: 7.0)
    assert (verdict.outcome, verdict.version, verdict.why, verdict.at) == (outcome, "2.0", shown[-1].line, 7.0)
    assert load(box.places.base) == verdict
    box.guard("settle")
    assert (status(box.places).current, box.version()) == (current, current)


def test_a_trial_that_is_ended_in_the_middle_leaves_the_old_program_and_a_verdict(box: Box) -> None:
    """As kill -9 does: there is nobody to write how it went."""
    put_up(box.places, staged(box))

    class Killed(BaseException):
        pass

    def dies() -> Shown:
        assert box.version() == "2.0"
        assert found(box.places) is Outcome.TRYING
        raise Killed

    scene = Scene([OLD, READY], [GOOD])
    with pytest.raises(Killed):
        try_out(box.places, Trial(scene, dies, scene.told.append, lambda: 0.0, scene._sleep), lambda: 7.0)
    assert "systemctl --no-block restart appliance.service" in box.guard("settle")
    assert box.version() == "1.0"
    assert found(box.places) is Outcome.BACK


def found(places: Places) -> Outcome:
    verdict = status(places).verdict
    assert verdict is not None
    return verdict.outcome


def test_where_systemd_does_not_answer_nothing_is_kept(box: Box) -> None:
    put_up(box.places, staged(box))

    class Silent(Scene):
        def restart(self) -> None:
            raise NotTaken("systemd cannot be asked")

    assert try_out(box.places, Silent([OLD], [GOOD]).trial(), lambda: 7.0).outcome is Outcome.BACK
    box.guard("settle")
    assert box.version() == "1.0"


def test_without_something_to_try_nothing_is_done(box: Box) -> None:
    scene = Scene([OLD], [GOOD])
    with pytest.raises(NotTaken, match="nothing to be tried"):
        try_out(box.places, scene.trial(), lambda: 7.0)
    assert scene.restarts == 0
