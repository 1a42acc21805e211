"""Assigns sessions to workers, watches the workers, and gives a session to a new one when its own has died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import cast

from msgspec import Struct, structs

from appliance.core.events import AnyEvent, Closed, Partial, SpeechEnded, SpeechStarted
from appliance.core.options import Changes, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem, Refused
from appliance.packs.languages import choose
from appliance.scheduling.budget import Budget
from appliance.scheduling.journal import Journal
from appliance.scheduling.launcher import Launcher
from appliance.scheduling.messages import (
    Audio,
    Channel,
    Close,
    Commit,
    Configure,
    Entry,
    Failed,
    Finish,
    Open,
    Plan,
    ToDaemon,
    ToWorker,
    packed,
)

log = logging.getLogger(__name__)

TICK_S = 1.0
"""How often workers are looked after."""
GATHER_S = 0.05
"""Messages to one worker closer together than this go in one write: waking a process costs more than carrying audio.
The first after a pause goes at once, so a single stream of 100 ms chunks waits for nothing; so does a lot of audio."""
GATHER_BYTES = 1 << 14
REPLAY_TOLERANCE = 3_200
"""Samples (0.2 s) by which a voice detector that starts anew may place the same event later."""

PIECES = 8
"""A window of audio goes to the worker in so many pieces at least, so that it never waits for the next one."""

Sink = Callable[[AnyEvent], None]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the pool. Zero means: as many as the cores say."""

    workers: int = 0
    streams: int = 0
    window_s: float = 2.0
    """Audio of one session a worker may hold unread."""
    inbox_s: float = 60.0
    """Audio of one session that waits before its client is made to wait."""
    hang_s: float = 60.0
    """Without a sign of progress on what it was given, after which a worker is killed."""
    recycle_after: int = 200
    """Sessions, after which an idle worker is replaced, so that leaks of native code do not add up."""


class WorkerLink(asyncio.Protocol):
    """The daemon's end of one worker. ``alone`` keeps it for a session that may have killed its predecessor."""

    def __init__(self, pool: Pool, exclusive: bool, link: socket.socket, forked: asyncio.Future[int]) -> None:
        self.sessions: dict[int, LiveSession] = {}
        self.served = 0
        self.exclusive = exclusive
        self.alone = False
        self.progress = 0.0
        self.retired = False
        self._pool = pool
        self._channel = Channel[ToDaemon](ToDaemon)  # type: ignore[arg-type]
        self._gathered = bytearray()
        self._due: asyncio.Handle | None = None
        self._sent_at = -GATHER_S
        self._link = link
        self._forked = forked
        self._transport: asyncio.Transport | None = None

    @property
    def pid(self) -> int | None:
        """The process, once it has been forked."""
        return self._forked.result() if self._forked.done() and not self._forked.cancelled() else None

    def send(self, message: ToWorker) -> None:
        """Never blocks; what may be under way is bounded by the sessions' windows."""
        self._gathered += packed(message)
        if self._transport is None:
            return
        if len(self._gathered) >= GATHER_BYTES:
            self._flush()
        elif self._due is None:
            wait = self._sent_at + GATHER_S - self._pool.now()
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(wait, self._flush) if wait > 0 else loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._transport is not None and self._gathered:
            self._sent_at = self._pool.now()
            self._transport.write(bytes(self._gathered))
            self._gathered.clear()

    def retire(self) -> None:
        """No more sessions; the worker ends when it sees its socket closed."""
        self.retired = True
        self._flush()
        if self._transport is not None:
            self._transport.close()
        else:
            self._link.close()

    async def connect(self) -> None:
        """Begin to read; what was said before is sent now."""
        if not self.retired:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._link)

    def kill(self) -> None:
        """For a worker that hangs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._flush()
        if self.retired:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.progress = self._pool.now()
        for message in self._channel.feed(data):
            session = self.sessions.get(message.sid)
            if session is not None:
                session.told(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)


class LiveSession:
    """One stream as the rest of the daemon sees it; its events go to ``sink``, the last of them is ``Closed``."""

    def __init__(self, pool: Pool, sid: int, model: Capabilities, options: SessionOptions, sink: Sink) -> None:
        self.sid = sid
        self.model = model
        self.options = options
        self.alive = True
        self.worker: WorkerLink | None = None
        rate = options.audio.bytes_per_second
        window = max(PIECES, int(rate * pool.settings.window_s))
        self._piece = window // PIECES
        self._inbox = max(1, int(rate * pool.settings.inbox_s))
        self.journal = Journal(sid, window)
        self._pool = pool
        self._sink = sink
        self._room = asyncio.Event()
        self._room.set()
        self._heard = -1
        self._replay_until = 0
        self._crashed_at: int | None = None

    @property
    def backlog_s(self) -> float:
        """Seconds of audio not yet dealt with."""
        return self.journal.backlog / self.options.audio.bytes_per_second

    def push(self, data: bytes) -> None:
        """Audio, any number of bytes; kept until it cannot matter any more."""
        for start in range(0, len(data), self._piece):
            piece = data if len(data) <= self._piece else data[start : start + self._piece]
            self._append(Audio(self.sid, self.journal.seq, piece))
        if self.journal.backlog > self._inbox:
            self._room.clear()

    async def room(self) -> None:
        """Returns when more audio may come: the bound of what waits is seconds, not messages."""
        await self._room.wait()

    def commit(self) -> None:
        self._append(Commit(self.sid, self.journal.seq))

    def configure(self, changes: Changes) -> None:
        self._append(Configure(self.sid, self.journal.seq, changes))

    def finish(self) -> None:
        """No more audio; what is left is recognised and ``Closed`` follows."""
        self._append(Finish(self.sid, self.journal.seq))

    def close(self, problem: Problem | None = None) -> None:
        """End it now. With a problem, ``Closed`` says so; without one nothing is said."""
        if not self.alive:
            return
        self.alive = False
        self._room.set()
        self._pool.forget(self)
        if problem is not None:
            self._sink(Closed(self._heard, problem))

    def told(self, message: ToDaemon) -> None:
        """What the worker says of this session."""
        if isinstance(message, Failed):
            self.close(message.problem)
            return
        replaying = message.consumed <= self._replay_until
        before = self.journal.safe
        self.journal.report(message)
        if self.worker is not None and self.journal.safe > before and not replaying:
            self.worker.alone = False
        if self.journal.backlog <= self._inbox:
            self._room.set()
        for event in message.events:
            if replaying and self._heard_before(event):
                continue
            if isinstance(event, SpeechStarted | SpeechEnded):
                self._heard = event.at
            self._sink(event)
            if isinstance(event, Closed):
                self.close()
                return
        self._pump()

    def give_to(self, worker: WorkerLink, options: SessionOptions) -> None:
        """Begin in this worker, or go on in it from the last safe point."""
        self.worker = worker
        self._replay_until = self.journal.consumed
        origin = self.journal.rewind()
        worker.sessions[self.sid] = self
        worker.served += 1
        worker.send(Open(self.sid, self.model.model, options, origin))
        self._pump()

    def doomed(self) -> bool:
        """Its worker has died. True the second time on the same audio."""
        if not self.journal.outstanding:
            return False
        doomed = self._crashed_at == self.journal.safe
        self._crashed_at = self.journal.safe
        return doomed

    def _heard_before(self, event: AnyEvent) -> bool:
        match event:
            case SpeechStarted(at=at) | SpeechEnded(at=at):
                return at <= self._heard + REPLAY_TOLERANCE
            case Partial():
                return True
        return False

    def _append(self, entry: Entry) -> None:
        if self.alive:
            self.journal.append(entry)
            self._pump()

    def _pump(self) -> None:
        worker = self.worker
        if worker is None:
            return
        if not self.journal.outstanding:
            worker.progress = max(worker.progress, self._pool.now())
        for entry in self.journal.due():
            if isinstance(entry, Configure):
                self._remember(entry.changes)
            worker.send(entry)

    def _remember(self, changes: Changes) -> None:
        known = {name: value for name, value in structs.asdict(changes).items() if value is not None}
        self.options = structs.replace(self.options, **known)


class Pool:
    """All workers of the daemon. Must be used from one event loop."""

    def __init__(self, plan: Plan, settings: Settings, default: str = "") -> None:
        self.settings = settings
        self.sessions: dict[int, LiveSession] = {}
        self.crashes = self.hangs = self.recycled = self.opened = 0
        self.cores = settings.workers or os.cpu_count() or 1
        self.budget = Budget(self.cores, settings.streams)
        self.workers: list[WorkerLink] = []
        self._default = default
        self._launcher = Launcher(plan, self._exited)
        self._sids = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._closing = False

    def now(self) -> float:
        """The loop's clock, seconds."""
        return asyncio.get_running_loop().time()

    async def start(self) -> None:
        """Load the models; returns when the pool is warm, or as warm as it will be (see ``models`` and ``broken``)."""
        await self._launcher.start()
        self._spawn(self._look_after())
        if self.models:
            self._hire(exclusive=False)

    @property
    def ready(self) -> bool:
        return self._launcher.ready.is_set() and bool(self.models)

    @property
    def models(self) -> dict[str, Capabilities]:
        return self._launcher.models

    @property
    def broken(self) -> dict[str, str]:
        return self._launcher.broken

    def choose(self, languages: tuple[str, ...]) -> Capabilities:
        """The model that would serve these languages; refused when there is none."""
        return choose(languages, self.models.values(), self._default)

    def open(self, options: SessionOptions, sink: Sink) -> LiveSession:
        """A new session. Refused when it cannot be served."""
        if self._closing:
            raise Refused(Kind.SHUTTING_DOWN)
        if not self.models:
            raise Refused(Kind.NOT_READY, "; ".join(self.broken.values()))
        model = self.choose(options.languages)
        self.budget.take(model)
        self._sids += 1
        self.opened += 1
        session = self.sessions[self._sids] = LiveSession(self, self._sids, model, options, sink)
        session.give_to(self._place(model), options)
        return session

    def forget(self, session: LiveSession) -> None:
        """The session is over, for whatever reason."""
        if self.sessions.pop(session.sid, None) is None:
            return
        self.budget.give_back(session.model)
        worker, session.worker = session.worker, None
        if worker is not None and worker.sessions.pop(session.sid, None) is not None:
            worker.send(Close(session.sid))
            if not worker.sessions and (
                worker.exclusive or worker.alone or worker.served >= self.settings.recycle_after
            ):
                self.recycled += 1
                self._dismiss(worker)
        if not self.sessions:
            self._idle.set()

    async def drain(self, deadline_s: float) -> None:
        """Let every session say its last words; those that have not by the deadline are cut off."""
        self._closing = True
        for session in list(self.sessions.values()):
            session.finish()
        if self.sessions:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), deadline_s)
        for session in list(self.sessions.values()):
            session.close(Problem(Kind.SHUTTING_DOWN))

    async def close(self) -> None:
        """End all workers and the template."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in list(self.workers):
            self._dismiss(worker)
        await self._launcher.close()

    def lost(self, worker: WorkerLink) -> None:
        """The worker's socket has closed."""
        if worker in self.workers:
            self.workers.remove(worker)
        if worker.retired or self._closing:
            return
        self.crashes += 1
        log.error("worker %s died with %d sessions; they go on in another one", worker.pid, len(worker.sessions))
        for session in list(worker.sessions.values()):
            session.worker = None
            suspect = session.journal.outstanding
            if session.doomed():
                session.close(Problem(Kind.ENGINE_FAILED))
            else:
                session.give_to(self._place(session.model, alone=suspect), session.options)

    def _place(self, model: Capabilities, *, alone: bool = False) -> WorkerLink:
        exclusive = model.sessions_per_worker == 1
        if alone or exclusive:
            worker = self._hire(exclusive)
            worker.alone = alone
            return worker
        shared = [
            worker
            for worker in self.workers
            if not (worker.exclusive or worker.alone or worker.retired)
            and len(worker.sessions) < model.sessions_per_worker
        ]
        idle = min(shared, key=lambda worker: len(worker.sessions), default=None)
        if idle is None or (idle.sessions and len(shared) < self.cores):
            return self._hire(exclusive=False)
        return idle

    def _hire(self, exclusive: bool) -> WorkerLink:
        link, pid = self._launcher.fork()
        worker = WorkerLink(self, exclusive, link, pid)
        worker.progress = self.now()
        self.workers.append(worker)
        self._spawn(worker.connect())
        return worker

    def _dismiss(self, worker: WorkerLink) -> None:
        worker.retire()
        if worker in self.workers:
            self.workers.remove(worker)

    def _exited(self, pid: int, status: int) -> None:
        if status and not self._closing:
            reason = signal.Signals(-status).name if status < 0 else f"status {status}"
            log.error("worker %d ended with %s", pid, reason)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            limit = self.now() - self.settings.hang_s
            for worker in self.workers:
                busy = any(session.journal.outstanding for session in worker.sessions.values())
                if busy and worker.progress < limit:
                    log.error("worker %s has made no progress for %.0f s", worker.pid, self.settings.hang_s)
                    self.hangs += 1
                    worker.kill()

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
