"""Assigns sessions to workers, watches the workers, and gives a session to a new one when its own has died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal

from appliance.core.options import SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem, Refused
from appliance.packs.languages import choose
from appliance.scheduling.budget import Budget
from appliance.scheduling.launcher import Launcher
from appliance.scheduling.link import WorkerLink, now
from appliance.scheduling.live import LiveSession, Sink
from appliance.scheduling.messages import Close, Plan
from appliance.scheduling.settings import Settings

log = logging.getLogger(__name__)

TICK_S = 1.0
"""How often workers are looked after."""
SILENT_S = 5.0
"""A worker that has owed an answer for so long gets no new sessions."""
END_S = 5.0
"""For a dismissed worker to end by itself before it is killed."""


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
        self._closing = self._closed = False
        self._dismissed: dict[int, float] = {}

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

    def check(self, options: SessionOptions) -> Capabilities:
        """The model of a session that could be opened now. Refused when none could."""
        if self._closing:
            raise Refused(Kind.SHUTTING_DOWN)
        if not self.models:
            raise Refused(Kind.NOT_READY, "; ".join(self.broken.values()))
        model = self.choose(options.languages)
        self.budget.check(model)
        return model

    def open(self, options: SessionOptions, sink: Sink) -> LiveSession:
        """A new session. Refused when it cannot be served."""
        model = self.check(options)
        self.budget.take(model)
        self._sids += 1
        self.opened += 1
        session = self.sessions[self._sids] = LiveSession(self._sids, model, options, self.settings, sink, self._over)
        try:
            session.give_to(self._place(model), options)
        except BaseException as error:
            self._over(session)
            if isinstance(error, OSError):
                raise Refused(Kind.NOT_READY, f"no process can be had: {error.strerror}") from error
            raise
        return session

    def _over(self, session: LiveSession) -> None:
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
            try:
                session.close(Problem(Kind.SHUTTING_DOWN))
            except Exception:
                log.exception("a client could not be told that its session has ended")

    async def close(self) -> None:
        """End all workers and the template; none is left when this returns."""
        self._closing = self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in list(self.workers):
            self._dismiss(worker)
        await self._launcher.ended(END_S)
        for pid in self._launcher.pids:
            _kill(pid)
        await self._launcher.ended(END_S)
        await self._launcher.close()

    def _lost(self, worker: WorkerLink) -> None:
        """The worker's socket has closed."""
        if worker in self.workers:
            self.workers.remove(worker)
        if worker.retired or self._closed:
            return
        self.crashes += 1
        log.error("worker %s died with %d sessions; they go on in another one", worker.pid, len(worker.sessions))
        for session in list(worker.sessions.values()):
            try:
                self._move(session)
            except Exception:
                log.exception("a session could not be told of its end")

    def _move(self, session: LiveSession) -> None:
        """Its worker has died: it goes on in another one, if it may and one can be had."""
        session.worker = None
        suspect = session.outstanding
        if session.doomed():
            session.close(Problem(Kind.ENGINE_FAILED))
            return
        try:
            session.give_to(self._place(session.model, alone=suspect), session.options)
        except OSError as error:
            session.close(Problem(Kind.ENGINE_FAILED, f"no process can be had: {error.strerror}"))

    def _place(self, model: Capabilities, *, alone: bool = False) -> WorkerLink:
        exclusive = model.sessions_per_worker == 1
        if alone or exclusive:
            worker = self._hire(exclusive)
            worker.alone = alone
            return worker
        shared = [
            worker
            for worker in self.workers
            if not (worker.exclusive or worker.alone or worker.retired or worker.silent_s() > SILENT_S)
            and len(worker.sessions) < model.sessions_per_worker
        ]
        idle = min(shared, key=lambda worker: len(worker.sessions), default=None)
        if idle is None or (idle.sessions and len(shared) < self.cores):
            return self._hire(exclusive=False)
        return idle

    def _hire(self, exclusive: bool) -> WorkerLink:
        link, pid = self._launcher.fork()
        worker = WorkerLink(exclusive, link, pid, self._lost)
        self.workers.append(worker)
        self._spawn(worker.connect())
        return worker

    def _dismiss(self, worker: WorkerLink) -> None:
        worker.retire()
        if worker in self.workers:
            self.workers.remove(worker)
        if worker.pid is not None:
            self._dismissed[worker.pid] = now() + END_S

    def _exited(self, pid: int, status: int) -> None:
        self._dismissed.pop(pid, None)
        if status and not self._closed:
            reason = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"status {status}"
            log.error("worker %d ended with %s", pid, reason)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for worker in self.workers:
                if worker.silent_s() > self.settings.hang_s:
                    log.error("worker %s has given no sign of life for %.0f s", worker.pid, self.settings.hang_s)
                    self.hangs += 1
                    worker.kill()
            for pid, deadline in list(self._dismissed.items()):
                if now() > deadline and pid in self._launcher.pids:
                    _kill(pid)

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
