"""Assigns sessions to workers, moves them when a worker dies, and gives something up when the box falls behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from appliance.core.options import SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem, Refused
from appliance.memory import memory_mib
from appliance.packs.languages import choose
from appliance.scheduling import cores
from appliance.scheduling.budget import Budget
from appliance.scheduling.crew import Crew
from appliance.scheduling.ease import SLOWER, Ease, Level
from appliance.scheduling.launcher import Launcher
from appliance.scheduling.link import WorkerLink, now
from appliance.scheduling.live import LiveSession, Sink
from appliance.scheduling.messages import Close, Measure, Measured, Plan
from appliance.scheduling.settings import Settings

log = logging.getLogger(__name__)

TICK_S = 1.0
"""How often workers are looked after, and lateness is."""
LUMP_S = 2.0
"""A worker that has said nothing for so long hangs, or is in the middle of one long piece of work."""
FROZEN_S = 3.0
"""The event loop came so much too late: all of us have been stopped, and nobody has had time to answer."""
AGAIN_S = 0.5
"""Pause before a session whose worker has never come to life tries another one."""
MEMORY_SHARE = 0.6
"""Of the machine's memory that workers may fill with models; the rest is for the system, the daemon and caches."""
FALLING_BEHIND = "it is falling behind with those it has"


class Pool:
    """All workers of the daemon. Must be used from one event loop."""

    def __init__(self, plan: Plan, settings: Settings, default: str = "") -> None:
        self.plan = plan
        self.settings = settings
        self.sessions: dict[int, LiveSession] = {}
        self.crashes = self.recycled = self.opened = 0
        self.refused: Counter[Kind] = Counter()
        """How often somebody was turned away, and why."""
        self.on_final: Callable[[float], None] = lambda seconds: None
        """Called with the seconds from the arrival of the audio that brought a final about to its being told."""
        self.held = ""
        """Why nobody is let in yet, if so."""
        usable = cores.usable()
        self.usable = min(usable, settings.workers) if settings.workers else usable
        """Cores that may be computed on; once the models are loaded, no more than there is memory for workers."""
        self.cores = settings.workers or math.ceil(usable)
        """Workers that share sessions at most."""
        self.budget = Budget(self.usable, settings.streams, settings.headroom)
        self._ease = Ease()
        self._default = default
        self._launcher = Launcher(plan, self._exited)
        self._crew = Crew(self._launcher, self.cores, self._lost)
        self._sids = 0
        self._past_audio_s = 0.0
        self._watch: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._closing = self._closed = False

    async def start(self) -> None:
        """Load the models; returns when the pool is warm, or as warm as it will be (see ``models`` and ``broken``)."""
        await self._launcher.start()
        self._bound(self._fitting())
        self._watch = asyncio.create_task(self._look_after())
        if self.models:
            self._crew.hire(exclusive=False)

    def _bound(self, workers: int) -> None:
        """Compute in so many workers at most; each of them uses one core."""
        if workers < self.cores:
            log.info("memory holds %d workers, the processor could feed %d", workers, self.cores)
            self.cores = self._crew.size = workers
            self.usable = self.budget.cores = min(self.usable, workers)

    def _fitting(self) -> int:
        """Return how many workers the memory holds, where each must load a model of its own."""
        needed = sum(model.worker_mib for model in self.models.values())
        return max(1, int(memory_mib() * MEMORY_SHARE / needed)) if needed else self.cores

    @property
    def ready(self) -> bool:
        return self._launcher.ready.is_set() and bool(self.models) and not self.held

    @property
    def models(self) -> dict[str, Capabilities]:
        return self._launcher.models

    @property
    def broken(self) -> dict[str, str]:
        return self._launcher.broken

    @property
    def workers(self) -> list[WorkerLink]:
        return self._crew.workers

    @property
    def hangs(self) -> int:
        return self._crew.hangs

    @property
    def ease(self) -> Level:
        """What is given up for falling behind."""
        return self._ease.level

    @property
    def lag_s(self) -> float:
        """Lateness of the stream that is worst off, seconds."""
        return max((session.lag.late_s(now()) for session in self.sessions.values()), default=0.0)

    @property
    def audio_s(self) -> float:
        """Seconds of audio that have been dealt with since the start."""
        return self._past_audio_s + sum(session.audio_s for session in self.sessions.values())

    @property
    def cpu_s(self) -> float:
        """Processor seconds of the workers since the start, as of the last ``beat``."""
        return self._crew.cpu_s

    @property
    def costs(self) -> dict[str, float]:
        """Cores per stream of each model."""
        return {name: self.budget.cost(model) for name, model in self.models.items()}

    def beat(self) -> float:
        """Ask every worker and the template for a sign of life; the longest silence, in seconds, of who owes one.

        A worker that hangs is no silence: the pool replaces it, unless the pool itself is stuck.
        """
        return self._crew.beat(self.settings.hang_s)

    def price(self, costs: Mapping[str, float]) -> None:
        """Cores per stream, as measured; they count from now on."""
        self.budget.price(costs)

    def reserve(self, microphones: Iterable[SessionOptions]) -> None:
        """Set room aside for these, instead of those before. A language nobody serves needs none."""
        models = []
        for options in microphones:
            with contextlib.suppress(Refused):
                models.append(self.choose(options.languages))
        self.budget.reserve(models)

    async def measure(self, message: Measure, copies: int) -> list[Measured]:
        """In so many workers of its own at once. Raises ConnectionError when one dies of it, OSError."""
        workers = []
        try:
            for _ in range(copies):
                workers.append(self._crew.hire(exclusive=True, alone=True))
            return list(await asyncio.gather(*(worker.measure(message) for worker in workers)))
        finally:
            for worker in workers:
                self._crew.dismiss(worker)

    def choose(self, languages: tuple[str, ...]) -> Capabilities:
        """The model that would serve these languages; refused when there is none."""
        return choose(languages, self.models.values(), self._default)

    def check(self, options: SessionOptions, *, reserved: bool = False) -> Capabilities:
        """The model of a session that could be opened now. Refused when none could."""
        try:
            return self._check(options, reserved)
        except Refused as refused:
            self.refused[refused.problem.kind] += 1
            raise

    def fits_without(self, options: SessionOptions, ended: Iterable[Capabilities]) -> bool:
        """Return whether a session could be opened once the streams of clients with these models have ended.

        Raises ``Refused`` when no model serves the languages.
        """
        return self.budget.fits_without(self.choose(options.languages), ended)

    def open(self, options: SessionOptions, sink: Sink, *, reserved: bool = False) -> LiveSession:
        """A new session; ``reserved``: of a microphone that room is set aside for. Refused when it cannot be served."""
        model = self.check(options, reserved=reserved)
        self.budget.take(model, reserved=reserved)
        self._sids += 1
        self.opened += 1
        session = self.sessions[self._sids] = LiveSession(
            self._sids, model, options, self.settings, sink, self._over, self._final, reserved=reserved
        )
        try:
            session.give_to(self._crew.place(model), options)
        except BaseException as error:
            self._over(session)
            if isinstance(error, OSError):
                self.refused[Kind.NOT_READY] += 1
                raise Refused(Kind.NOT_READY, f"no process can be had: {error.strerror}") from error
            raise
        return session

    def _check(self, options: SessionOptions, reserved: bool) -> Capabilities:
        if self._closing:
            raise Refused(Kind.SHUTTING_DOWN)
        if self.held:
            raise Refused(Kind.NOT_READY, self.held)
        if not self.models:
            raise Refused(Kind.NOT_READY, "; ".join(self.broken.values()))
        model = self.choose(options.languages)
        self.budget.check(model, reserved=reserved)
        return model

    def _final(self, seconds: float) -> None:
        self.on_final(seconds)

    def _over(self, session: LiveSession) -> None:
        """The session is over, for whatever reason."""
        if self.sessions.pop(session.sid, None) is None:
            return
        self.budget.give_back(session.model, reserved=session.reserved)
        self._past_audio_s += session.audio_s
        worker, session.worker = session.worker, None
        if worker is not None and worker.sessions.pop(session.sid, None) is not None:
            worker.send(Close(session.sid))
            if not worker.sessions and (
                worker.exclusive or worker.alone or worker.served >= self.settings.recycle_after
            ):
                self.recycled += 1
                self._crew.dismiss(worker)
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
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._crew.close()
        await self._launcher.close()

    def _lost(self, worker: WorkerLink) -> None:
        """The worker's socket has closed."""
        if worker.retired or self._closed:
            return
        if worker.born:
            self.crashes += 1
            going_on = f"; its {len(worker.sessions)} sessions go on in another one" if worker.sessions else ""
            log.error("worker %s died%s", worker.pid or "of a dead template", going_on)
        for session in list(worker.sessions.values()):
            try:
                self._move(session, worker.born)
            except Exception:
                log.exception("a session could not be told of its end")

    def _move(self, session: LiveSession, born: bool) -> None:
        """Its worker has died, or was never born: it goes on in another one, if it may."""
        session.worker = None
        if born and session.doomed():
            session.close(Problem(Kind.ENGINE_FAILED))
        elif born:
            self._go_on(session)
        elif session.forsaken():
            session.close(Problem(Kind.ENGINE_FAILED, "no process can be had"))
        else:
            asyncio.get_running_loop().call_later(AGAIN_S, self._go_on, session, True)

    def _go_on(self, session: LiveSession, thrifty: bool = False) -> None:
        """In another worker, if one can be had."""
        if self._closed or not session.alive:
            return
        try:
            worker = self._crew.place(session.model, alone=session.suspect, thrifty=thrifty)
            session.give_to(worker, session.options)
        except OSError as error:
            session.close(Problem(Kind.ENGINE_FAILED, f"no process can be had: {error.strerror}"))

    def _exited(self, pid: int, status: int) -> None:
        if status and not self._closed:
            reason = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"status {status}"
            log.error("worker %d ended with %s", pid, reason)

    async def _look_after(self) -> None:
        while True:
            due = now() + TICK_S
            await asyncio.sleep(TICK_S)
            if now() - due > FROZEN_S:
                self._crew.forgive()
            self._crew.look_after(self.settings.hang_s)
            self._adapt()

    def _left_over_s(self, at: float) -> float:
        """The lateness of the last second that counts.

        A worker that died, or one that hangs, is no lack of processor; unless all hang.
        """
        late = [(each.lag.least_s(at), each.worker) for each in self.sessions.values() if each.settled]
        lively = [late_s for late_s, worker in late if worker is not None and worker.silent_s() < LUMP_S]
        return max(lively or [late_s for late_s, _ in late], default=0.0)

    def _adapt(self) -> None:
        """Give something up when the box falls behind, take it back when there is room."""
        at, before = now(), self.ease
        late_s = self._left_over_s(at)
        if self.sessions:
            self._ease.observe(late_s, at)
        else:
            self._ease = Ease()
        if self.ease is before:
            return
        self._crew.ease(SLOWER[self.ease])
        self.budget.closed = FALLING_BEHIND if self.ease is Level.REFUSING else ""
        log.log(
            logging.WARNING if self.ease > before else logging.INFO,
            "%s: %s now (%d streams, the worst %.1f s late)",
            "falling behind" if self.ease > before else "catching up", self.ease.words, len(self.sessions), late_s,
        )  # fmt: skip
