"""How the appliance is doing, told to whoever wants to know: systemd, the lights, the health page, the log."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from appliance.board.lights import Facts
from appliance.board.notify import Supervisor
from appliance.board.panel import Panel
from appliance.board.sensors import Readings, concerns, read
from appliance.capture.listener import Listener
from appliance.capture.wire import State
from appliance.core.events import AnyEvent, Final, Partial, SpeechEnded, SpeechStarted
from appliance.scheduling.pool import Pool

log = logging.getLogger(__name__)

TICK_S = 0.5
"""Between two looks for what nobody announces. What a microphone hears is shown at once."""
SENSE_TICKS = 20
"""The board is asked every so many of them."""
WRITING_S = 0.7
"""The light for words stays on so long after the last one."""
PATIENCE_S = 15.0
"""The pool replaces who says nothing for ``hang_s``; when one is silent for longer than that and this, it does not."""
EXTEND_S = 60.0
"""Asked of systemd again and again while there is no model to be ready with, ..."""
LONGEST_START_S = 900.0
"""... and while models are loaded and measured, which takes a minute or two on the slowest board; but no longer."""


class Phase(enum.Enum):
    """Where in its life the daemon is."""

    LOADING = "starting: loading models"
    MEASURING = "starting: measuring what a stream costs here"
    SERVING = "ready"
    NO_MODEL = "no model"
    STOPPING = "stopping: clients get their last words"


class Status:
    """Collects from the others; decides nothing. ``clients`` counts the conversations."""

    def __init__(
        self,
        pool: Pool,
        listeners: Sequence[Listener],
        clients: Callable[[], int],
        muted: Callable[[], bool],
        supervisor: Supervisor,
        panel: Panel,
        state_dir: Path,
    ) -> None:
        self.phase = Phase.LOADING
        self.readings = Readings()
        self.notes: dict[str, str] = {}
        """What the owner should know and would not see otherwise, by subject; an empty text is none."""
        self.model: dict[str, str] = {}
        """The default model, what to expect of it and what would be better, for the health page."""
        self._pool = pool
        self._listeners = listeners
        self._clients = clients
        self._muted = muted
        self._supervisor = supervisor
        self._panel = panel
        self._state_dir = state_dir
        self._speaking: set[str] = set()
        self._written_at = -WRITING_S
        self._worried: tuple[str, ...] = ()

    # what is told

    @property
    def worries(self) -> tuple[str, ...]:
        """What is wrong with the board, the disk, or one of several models now, in words."""
        broken = self._pool.broken.items() if self._pool.models else ()
        lamps = self._panel.failures.items()
        told = (
            *self.notes.items(),
            *((f"model {name}", reason) for name, reason in broken),
            *((f"{lamp} lamp", reason) for lamp, reason in lamps),
        )
        return (*self._worried, *(f"{subject}: {text}" for subject, text in told if text))

    @property
    def _starting(self) -> bool:
        return self.phase in (Phase.LOADING, Phase.MEASURING)

    def facts(self) -> Facts:
        """For the lights."""
        return Facts(
            starting=self._starting,
            model=bool(self._pool.models) or self._starting,
            fault=bool(self._worried) or bool(self.notes.get("state")),
            overloaded=self._pool.ease > 0,
            draining=self.phase is Phase.STOPPING,
            clients=self._clients(),
            transcribing=_now() - self._written_at < WRITING_S,
            speech=bool(self._speaking),
            muted=self._muted(),
            microphones=len(self._listeners),
        )

    def line(self) -> str:
        """For `systemctl status`."""
        phase, pool = self.phase, self._pool
        if phase is Phase.NO_MODEL or (phase is Phase.SERVING and not pool.models):
            said = f"no model: {'; '.join(pool.broken.values()) or 'none is installed'}"
        elif phase is Phase.SERVING:
            said = f"ready: {_counted(pool.budget.open, 'stream')} open"
            free = [f"{pool.budget.free(model)} more of {name}" for name, model in pool.models.items()]
            said += f", room for {' or '.join(free)}" if free else ""
            said += "".join(f"; microphone {each.microphone.name}: {_state(each)}" for each in self._listeners)
            if pool.ease:
                said += f"; falling behind by {pool.lag_s:.1f} s, {pool.ease.words}"
        else:
            said = phase.value
        return "; ".join((said, *self.worries))

    def detail(self) -> dict[str, Any]:
        """For the health page."""
        pool = self._pool
        return {
            "phase": self.phase.name.lower(),
            "text": self.line(),
            "worries": self.worries,
            "ease": {"level": int(pool.ease), "means": pool.ease.words, "lag_s": round(pool.lag_s, 3)},
            "costs": {name: round(cost, 4) for name, cost in pool.costs.items()},
            "cores": pool.budget.cores,
            "model": self.model,
            "muted": self._muted(),
            "microphones": [
                {"name": each.microphone.name, "state": each.microphone.state, "reason": each.microphone.reason}
                for each in self._listeners
            ],
            "board": {name: value for name, value in structs.asdict(self.readings).items() if value is not None},
        }

    # who tells us

    def enter(self, phase: Phase) -> None:
        """The daemon has got so far."""
        self.phase = phase
        if phase is Phase.SERVING:
            self._supervisor.ready(self.line())
        elif phase is Phase.STOPPING:
            self._supervisor.stopping(self.line())
        self.look()

    def note(self, subject: str, text: str = "") -> None:
        """Something to be known until it is told anew; no text takes it back."""
        if text and self.notes.get(subject) != text:
            log.warning("%s: %s", subject, text)
        self.notes[subject] = text
        self.look()

    def heard(self, microphone: str, event: AnyEvent) -> None:
        """A microphone's event."""
        match event:
            case SpeechStarted():
                self._speaking.add(microphone)
            case SpeechEnded():
                self._speaking.discard(microphone)
            case Partial() | Final():
                self.wrote()
                return
        self.look()

    def wrote(self) -> None:
        """There are new words, of whichever stream."""
        before, self._written_at = self._written_at, _now()
        if self._written_at - before >= WRITING_S:
            self.look()

    def look(self) -> None:
        """Show how things are now."""
        self._panel.show(self.facts())

    # by the clock

    async def run(self) -> None:
        """Until cancelled."""
        ticks = 0
        while True:
            if ticks % SENSE_TICKS == 0:
                await self._sense()
                if self.phase is Phase.NO_MODEL or (self._starting and ticks * TICK_S < LONGEST_START_S):
                    self._supervisor.extend(EXTEND_S)
            for listener in self._listeners:
                if listener.microphone.state is not State.READY:
                    self._speaking.discard(listener.microphone.name)
            self.look()
            self._supervisor.status(self.line())
            ticks += 1
            await asyncio.sleep(TICK_S)

    async def watch(self) -> None:
        """Keep systemd's watchdog quiet as long as event loop and workers get on. Until cancelled.

        A daemon that has lost its last model is of no use either; started anew, it says what is wrong with it.
        """
        if self._supervisor.watchdog_s is None:
            return
        longest = self._pool.settings.hang_s + PATIENCE_S
        while True:
            silent = self._pool.beat()
            if silent >= longest:
                log.critical("a worker has been silent for %.0f s and was not replaced", silent)
            elif self._pool.models:
                self._supervisor.alive()
            await asyncio.sleep(self._supervisor.watchdog_s / 3)

    async def _sense(self) -> None:
        self._pool.beat()  # without systemd nobody else asks, and the workers' time would not be known
        self.readings, state = await asyncio.to_thread(_sense, self._state_dir)
        before = {_subject(worry) for worry in self._worried}
        self._worried = concerns(self.readings, faults=True)
        for worry in self._worried:
            if _subject(worry) not in before:
                log.warning("%s", worry)
        if state != self.notes.get("state", ""):
            self.note("state", state)


def _subject(worry: str) -> str:
    """What stays the same while its figures change."""
    return worry.partition(":")[0]


def _sense(state_dir: Path) -> tuple[Readings, str]:
    """The board, and why nothing can be kept, if so. Blocks for a few milliseconds."""
    return read(state=state_dir), writable(state_dir)


def writable(folder: Path) -> str:
    """Why nothing can be kept in ``folder``; empty when it can."""
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{folder} is on a disk that is read-only"
        if not os.access(folder, os.W_OK):
            return f"{folder} cannot be written to"
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def _state(listener: Listener) -> str:
    microphone = listener.microphone
    return str(microphone.state) if microphone.state is State.READY else f"{microphone.state} ({microphone.reason})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _now() -> float:
    return asyncio.get_running_loop().time()
