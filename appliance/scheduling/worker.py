"""A forked, single-threaded process that runs sessions in turn, a bounded piece of audio at a time."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator

from appliance.core.events import AnyEvent, SpeechEnded
from appliance.core.options import SessionOptions
from appliance.core.ports import Recognizer, VadModel
from appliance.core.problems import Kind, Problem, Refused
from appliance.core.segment import Origin
from appliance.core.session import Session
from appliance.memory import trim
from appliance.scheduling.lag import NEWS_S
from appliance.scheduling.measure import measure
from appliance.scheduling.messages import (
    Audio,
    Channel,
    Close,
    Commit,
    Configure,
    Ease,
    Entry,
    Failed,
    Finish,
    Gone,
    Measure,
    Open,
    Ping,
    Pong,
    Report,
    ToDaemon,
    ToWorker,
    packed,
)
from appliance.text.numbers import digits

TURN_S = 0.25
"""Audio of one session that is worked on before the next one has its turn."""
READ = 1 << 18


class _Slot:
    """One session and what waits for it."""

    def __init__(self, session: Session, opening: Open) -> None:
        self.session = session
        self.inbox: deque[Entry] = deque()
        self.done = 0
        self.told = opening.origin.wire
        """Bytes that have been reported as consumed."""
        audio = opening.options.audio
        self._piece = max(1, int(audio.rate * TURN_S)) * audio.frame_bytes
        self._news = int(audio.bytes_per_second * NEWS_S)
        self._offset = 0

    @property
    def newsworthy(self) -> bool:
        """So much has been dealt with that it should be reported without an event."""
        return self.session.consumed - self.told >= self._news

    def turn(self) -> Iterator[AnyEvent]:
        """Work on the first entry, or a piece of it."""
        entry = self.inbox[0]
        match entry:
            case Audio(data=data):
                begins = entry.begins and self._offset == 0
                piece = data if len(data) <= self._piece else data[self._offset : self._offset + self._piece]
                self._offset += len(piece)
                yield from self.session.push(piece, begins=begins)
                if self._offset < len(data):
                    return
                self._offset = 0
            case Commit():
                yield from self.session.commit()
            case Configure(changes=changes):
                yield from self.session.configure(changes)
            case Finish():
                yield from self.session.finish()
        self.done = entry.seq
        self.inbox.popleft()


class Worker:
    """Serves one daemon over one socket until that is closed."""

    def __init__(self, link: socket.socket, recognizers: dict[str, Recognizer], detector: VadModel) -> None:
        self._link = link
        self._recognizers = recognizers
        self._detector = detector
        self._slots: dict[int, _Slot] = {}
        self._turns: deque[int] = deque()
        self._untold: set[int] = set()
        self._told_at = time.monotonic()
        self._slower = 1

    def prepare(self, model: str) -> None:
        """Load a model that workers do not share, before the first session needs it; a failure is told to sessions."""
        if model in self._recognizers:
            with contextlib.suppress(OSError, MemoryError):
                self._recognizers[model].prepare()

    def run(self) -> None:
        """Read, work, report; read again between any two turns."""
        channel = Channel[ToWorker](ToWorker)  # type: ignore[arg-type]
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        while True:
            if poll.poll(0 if self._turns else NEWS_S * 1000 if self._untold else None):
                try:
                    data = self._link.recv(READ)
                except ConnectionError:
                    return
                if not data:
                    return
                for message in channel.feed(data):
                    self._take(message)
            if self._turns:
                self._work(self._turns.popleft())
            if self._untold and time.monotonic() - self._told_at >= NEWS_S:
                self._tell_untold()

    def _take(self, message: ToWorker) -> None:
        match message:
            case Open(sid=sid, model=model, options=options, origin=origin):
                try:
                    session = self._session(options, model, origin)
                except Refused as refused:
                    self._send(Failed(sid, refused.problem))
                except Exception as error:
                    self._send(Failed(sid, _engine_failed(error)))
                else:
                    self._slots[sid] = _Slot(session, message)
                    self._report(sid, self._slots[sid], [])
            case Measure(model=model, streams=streams):
                sessions = [self._session(SessionOptions(), model, Origin()) for _ in range(streams)]
                self._send(measure(sessions, message))
            case Ease(slower=slower):
                self._slower = slower
                for each in self._slots.values():
                    each.session.ease(slower)
            case Ping():
                self._send(Pong(time.process_time()))
            case Close(sid=sid):
                self._forget(sid)
                self._send(Gone(sid))
            case Audio() | Commit() | Configure() | Finish():
                slot = self._slots.get(message.sid)
                if slot is not None:
                    if not slot.inbox:
                        self._turns.append(message.sid)
                    slot.inbox.append(message)

    def _session(self, options: SessionOptions, model: str, origin: Origin) -> Session:
        if model not in self._recognizers:
            raise Refused(Kind.ENGINE_FAILED, f"{model} could not be loaded again")
        session = Session(options, self._recognizers[model], self._detector.stream(), readable=digits, origin=origin)
        session.ease(self._slower)
        return session

    def _work(self, sid: int) -> None:
        slot = self._slots.get(sid)
        if slot is None or not slot.inbox:
            return
        events: list[AnyEvent] = []
        entry = slot.inbox[0]
        try:
            for event in slot.turn():
                events.append(event)
                if isinstance(event, SpeechEnded):  # the final may take a while, and its client wants to know now
                    self._report(sid, slot, events)
                    events = []
        except Refused as refused:
            self._give_up(sid, refused.problem)
            return
        except Exception as error:
            self._give_up(sid, _engine_failed(error))
            return
        if events or slot.newsworthy or not isinstance(entry, Audio):
            self._report(sid, slot, events)
        else:
            self._untold.add(sid)
        if slot.inbox:
            self._turns.append(sid)

    def _give_up(self, sid: int, problem: Problem) -> None:
        self._forget(sid)
        self._send(Failed(sid, problem))

    def _forget(self, sid: int) -> None:
        slot = self._slots.pop(sid, None)
        self._untold.discard(sid)
        if slot is not None:
            slot.session.close()
            trim()  # several MiB lie between what the others have, and others will come that need them elsewhere

    def _tell_untold(self) -> None:
        self._told_at = time.monotonic()
        for sid in list(self._untold):
            self._report(sid, self._slots[sid], [])

    def _report(self, sid: int, slot: _Slot, events: list[AnyEvent]) -> None:
        session = slot.session
        slot.told = session.consumed
        self._untold.discard(sid)
        self._send(Report(sid, slot.done, session.consumed, session.origin, tuple(events)))

    def _send(self, message: ToDaemon) -> None:
        with contextlib.suppress(ConnectionError):  # the next read says that the daemon is gone
            self._link.sendall(packed(message))


def _engine_failed(error: Exception) -> Problem:
    """The problem as the client is told. The log gets the place, because the message can hold the client's words."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" in {place[0].name}, {place[0].filename}:{place[0].lineno}" if place else ""
    print(f"worker: the engine failed with {type(error).__name__}{where}", file=sys.stderr, flush=True)
    return Problem(Kind.ENGINE_FAILED, f"{type(error).__name__}: {error}")
