"""A session as the rest of the daemon sees it, whichever worker has it now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import structs

from appliance.core.events import AnyEvent, Cause, Closed, Final, Heard, Partial, SpeechEnded, SpeechStarted
from appliance.core.options import Changes, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Problem
from appliance.scheduling.journal import Journal
from appliance.scheduling.lag import Lag
from appliance.scheduling.link import WorkerLink, now
from appliance.scheduling.messages import Audio, Commit, Configure, Entry, Failed, Finish, Open, Report
from appliance.scheduling.settings import Settings

REPLAY_TOLERANCE = 3_200
"""Samples (0.2 s) by which a voice detector that starts anew may place the same event later."""
PIECES = 8
"""A window of audio goes to the worker in so many pieces at least, so that it never waits for the next one."""

ENTRIES = 30_000
"""Messages that are kept of a session: minutes of the shortest frames, or a flood of commands."""

TRIES = 5
"""Workers one after the other that never come to life, before a session is given up."""

HEARD = (Cause.SILENCE, Cause.LONGEST)
"""Finals that audio brings about; the others wait for a command."""

Sink = Callable[[AnyEvent], None]


def _nobody(event: AnyEvent) -> None:
    """The sink of a session that is over."""


class LiveSession:
    """One stream as the rest of the daemon sees it; its events go to ``sink``, the last of them is ``Closed``."""

    def __init__(
        self,
        sid: int,
        model: Capabilities,
        options: SessionOptions,
        settings: Settings,
        sink: Sink,
        on_over: Callable[[LiveSession], None],
        on_final: Callable[[float], None] = lambda seconds: None,
        *,
        reserved: bool = False,
    ) -> None:
        self.sid = sid
        self.model = model
        self.options = options
        self.alive = True
        self.reserved = reserved
        """It is a microphone's, with room set aside for it."""
        self.worker: WorkerLink | None = None
        self._settings = settings
        self.journal = Journal(sid, self._measure())
        self.lag = Lag(options.audio.bytes_per_second)
        self._on_over = on_over
        self._on_final = on_final
        self._sink = sink
        self._room = asyncio.Event()
        self._room.set()
        self._opened = False
        self._heard = 0
        self._told: dict[type[AnyEvent], int] = {}
        self._replay_until = 0
        self._crashed_at: int | None = None
        self._stillborn = 0

    def _measure(self) -> int:
        """The bounds of what waits, in bytes of this audio; returns the worker's window."""
        rate = self.options.audio.bytes_per_second
        window = max(PIECES, int(rate * self._settings.window_s))
        self._piece = window // PIECES
        self._inbox = max(1, int(rate * self._settings.inbox_s))
        return window

    @property
    def backlog_s(self) -> float:
        """Seconds of audio not yet dealt with."""
        return self.journal.backlog / self.options.audio.bytes_per_second

    @property
    def audio_s(self) -> float:
        """Seconds of audio that have been dealt with, what was replayed counted once."""
        return max(self.journal.consumed, self._replay_until) / self.options.audio.bytes_per_second

    def push(self, data: bytes) -> None:
        """One message of audio, any number of bytes; kept until it cannot matter any more."""
        self.lag.arrived(len(data), now())
        for start in range(0, len(data), self._piece):
            piece = data if len(data) <= self._piece else data[start : start + self._piece]
            self._append(Audio(self.sid, self.journal.seq, piece, begins=start == 0))
        if self.journal.backlog > self._inbox:
            self._room.clear()

    @property
    def crowded(self) -> bool:
        """It is their number, not their length, that keeps more messages from being taken."""
        return self.journal.entries > ENTRIES

    @property
    def full(self) -> bool:
        """More waits than the bound allows; see ``room``."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Returns when more audio may come: the bound of what waits is seconds, not messages."""
        await self._room.wait()

    def commit(self) -> None:
        self._append(Commit(self.sid, self.journal.seq))

    def configure(self, changes: Changes) -> None:
        """New settings from here on. Another format is taken before the first byte only."""
        if changes.audio is not None and not self.journal.received:
            self.options = structs.replace(self.options, audio=changes.audio)
            self.journal.window = self._measure()
            self.lag = Lag(self.options.audio.bytes_per_second)
        self._append(Configure(self.sid, self.journal.seq, changes))

    def finish(self) -> None:
        """No more audio; what is left is recognised and ``Closed`` follows."""
        self._append(Finish(self.sid, self.journal.seq))

    def drain(self) -> None:
        """As ``finish``, because the daemon wants it: what was heard is told, then ``Closed``."""
        self.finish()

    def close(self, problem: Problem | None = None) -> None:
        """End it now. With a problem, ``Closed`` says so; without one nothing is said."""
        if not self.alive:
            return
        self.alive = False
        self.journal.forget()
        self._room.set()
        sink, self._sink = self._sink, _nobody
        self._on_over(self)
        if problem is not None:
            sink(Closed(self._heard, problem))

    def told(self, message: Report | Failed) -> None:
        """What the worker says of this session."""
        if isinstance(message, Failed):
            self.close(message.problem)
            return
        self._opened = True
        self._stillborn = 0
        replaying = message.consumed <= self._replay_until
        before = self.journal.safe
        self.journal.report(message)
        at = now()
        waited = None if replaying else self.lag.waited_s(message.consumed, at)
        self.lag.dealt(max(message.consumed, self._replay_until), at)
        if self.worker is not None and self.journal.safe > before and not replaying:
            self.worker.alone = False
        if self.journal.backlog <= self._inbox and not self.crowded:
            self._room.set()
        for event in message.events:
            if self._told_before(event, replaying):
                continue
            if isinstance(event, SpeechStarted | SpeechEnded):
                self._heard = self._told[type(event)] = event.at
            if isinstance(event, Final) and event.cause in HEARD and waited is not None:
                self._on_final(waited)
            self._sink(event)
            if isinstance(event, Closed):
                self.close()
                return
        self._pump()

    def give_to(self, worker: WorkerLink, options: SessionOptions) -> None:
        """Begin in this worker, or go on in it from the last safe point."""
        self.worker = worker
        self._opened = False
        self._replay_until = self.journal.consumed
        origin = self.journal.rewind()
        worker.sessions[self.sid] = self
        worker.served += 1
        worker.send(Open(self.sid, self.model.model, options, origin))
        self._pump()

    @property
    def outstanding(self) -> bool:
        """Its worker has been given something it has not answered."""
        return not self._opened or self.journal.outstanding

    @property
    def settled(self) -> bool:
        """Its worker has taken it on, and come to where the one before it was."""
        return self._opened and self.journal.consumed >= self._replay_until

    @property
    def suspect(self) -> bool:
        """It may have killed a worker: nothing has become safe since."""
        return self._crashed_at == self.journal.safe

    def forsaken(self) -> bool:
        """Its worker has never come to life. True when that has happened too often in a row."""
        self._stillborn += 1
        return self._stillborn >= TRIES

    def doomed(self) -> bool:
        """Its worker has died. True the second time on the same audio."""
        if not self.outstanding:
            return False
        doomed = self.suspect
        self._crashed_at = self.journal.safe
        return doomed

    def _told_before(self, event: AnyEvent, replaying: bool) -> bool:
        match event:
            case SpeechStarted(at=at) | SpeechEnded(at=at):
                return type(event) in self._told and at <= self._told[type(event)] + REPLAY_TOLERANCE
            case Heard(wire=wire):
                before, self._told[Heard] = self._told.get(Heard, 0), max(wire, self._told.get(Heard, 0))
                return wire <= before
            case Partial():
                return replaying
        return False

    def _append(self, entry: Entry) -> None:
        if self.alive:
            self.journal.append(entry)
            if self.crowded:
                self._room.clear()
            self._pump()

    def _pump(self) -> None:
        if self.worker is None:
            return
        for entry in self.journal.due():
            if isinstance(entry, Configure):
                self._remember(entry.changes)
            self.worker.send(entry)

    def _remember(self, changes: Changes) -> None:
        known = {name: value for name, value in structs.asdict(changes).items() if value is not None}
        known.pop("audio", None)  # taken when it was asked for, if it could be
        self.options = structs.replace(self.options, **known)
