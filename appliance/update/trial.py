"""The trial: the daemon is started with the new program, and what it writes decides.

It runs in a unit of its own, from the program that has proved itself. It takes nothing back: that is done after it has
ended, however it ended, by the unit's ExecStopPost (systemd/guard), unless the release was kept.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from msgspec import Struct

from appliance.update.manifest import NotTaken
from appliance.update.releases import Places, keep, try_next
from appliance.update.service import UNIT, Service, State
from appliance.update.stage import Tell
from appliance.update.verdict import Outcome, Verdict, save

STOP_S = 600.0
"""For the old daemon to give its clients their last words; systemd cuts it off long before."""
START_S = 960.0
"""For the new one to be ready: the slowest board loads and measures within 900 s; systemd waits no longer either."""
PROVE_S = 180.0
"""For it to write the right words: as long as that all streams may be taken."""
LOOK_S = 0.5
AGAIN_S = 3.0
"""Between two tries to prove it."""
CHANCES = 2
"""Wrong words count when they come twice: one glitch of the box is no fault of the program's."""


class Proof(enum.Enum):
    """What a try has shown."""

    GOOD = "good"
    NONE = "none"
    """Neither good nor bad: the box is busy, or not yet so far."""
    BAD = "bad"


class Shown(Struct, frozen=True):
    """With what there is to say about it."""

    proof: Proof
    line: str


class Failed(Exception):
    """The program is not kept; the message says why."""


class Trial:
    """``prove`` lets the running daemon write once; ``clock`` gives seconds, ``sleep`` lets them pass."""

    def __init__(
        self,
        service: Service,
        prove: Callable[[], Shown],
        tell: Tell,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._service = service
        self._prove = prove
        self._tell = tell
        self._clock = clock
        self._sleep = sleep

    def run(self) -> str:
        """Start the daemon anew and have it prove itself; what it wrote. Raises ``Failed``, ``NotTaken``."""
        before = self._service.state().run
        self._service.restart()
        run = self._started(before)
        self._tell("the new program starts")
        self._ready(run)
        self._tell("it is ready; listening to what it writes")
        return self._proved(run)

    def _started(self, before: str) -> str:
        """The new run of the unit."""
        end = self._clock() + STOP_S
        while (run := self._service.state().run) in ("", before):
            self._wait(end, "the old daemon does not end")
        return run

    def _ready(self, run: str) -> None:
        end = self._clock() + START_S
        while True:
            state = self._service.state()
            self._same(state, run)
            if state.active == "active":
                return
            if state.said.startswith("no model"):
                raise Failed(f"with it there is no model, so nothing can be proved ({state.said})")
            self._wait(end, f"it does not become ready ({state.said or state.sub})")

    def _proved(self, run: str) -> str:
        end, chances, shown = self._clock() + PROVE_S, CHANCES, Shown(Proof.NONE, "")
        while True:
            shown = self._prove()
            state = self._service.state()
            self._same(state, run)
            chances -= shown.proof is Proof.BAD
            if shown.proof is Proof.GOOD:
                return shown.line
            if not chances:
                raise Failed(shown.line)
            self._tell(f"once more: {shown.line}")
            self._wait(end, f"it could not be proved in {PROVE_S:.0f} s: {shown.line}", AGAIN_S)

    def _same(self, state: State, run: str) -> None:
        """It is still the one that was started."""
        if state.over or state.run != run:
            how = state.result if state.result not in ("", "success") else "and was started again"
            raise Failed(f"it ended by itself ({how}); see: journalctl -u {UNIT}")

    def _wait(self, end: float, why: str, pause: float = LOOK_S) -> None:
        if self._clock() >= end:
            raise Failed(why)
        self._sleep(pause)


def try_out(places: Places, trial: Trial, now: Callable[[], float]) -> Verdict:
    """Try what is to be tried next, and keep it if it is good. Raises ``NotTaken`` when nothing is to be tried."""
    name = try_next(places)
    save(places.base, Verdict(outcome=Outcome.TRYING, version=name, at=now()))
    try:
        why = trial.run()
        keep(places, name)
        outcome = Outcome.KEPT
    except (Failed, NotTaken) as failed:
        outcome, why = Outcome.BACK, str(failed)
    verdict = Verdict(outcome=outcome, version=name, why=why, at=now())
    save(places.base, verdict)
    return verdict
