"""The workers there are: who takes a session, who is hired, who is dismissed, who gives no sign of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from appliance.core.ports import Capabilities
from appliance.scheduling.launcher import Launcher
from appliance.scheduling.link import WorkerLink, now
from appliance.scheduling.messages import Ease

log = logging.getLogger(__name__)

SILENT_S = 5.0
"""A worker that has owed an answer for so long gets no new sessions."""
END_S = 5.0
"""For a dismissed worker to end by itself before it is killed."""
KILL_S = 5.0
"""For a worker that hangs to be found and replaced, once its time is over."""


class Crew:
    """At most ``size`` workers that share sessions, and as many more as need a process of their own."""

    def __init__(self, launcher: Launcher, size: int, on_lost: Callable[[WorkerLink], None]) -> None:
        self.workers: list[WorkerLink] = []
        self.hangs = 0
        self.size = size
        self._launcher = launcher
        self._on_lost = on_lost
        self._slower = 1
        self._spent_s = 0.0
        self._dismissed: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all workers, as of their last sign of life."""
        return self._spent_s + sum(worker.cpu_s for worker in self.workers)

    def place(self, model: Capabilities, *, alone: bool = False, thrifty: bool = False) -> WorkerLink:
        """A worker for a session; ``alone``: with nobody else in it, ``thrifty``: a new one only if there is no other.

        Raises OSError.
        """
        exclusive = model.sessions_per_worker == 1
        if alone or exclusive:
            return self.hire(exclusive, alone=alone)
        shared = [
            worker
            for worker in self.workers
            if not (worker.exclusive or worker.alone or worker.retired or worker.silent_s() > SILENT_S)
            and len(worker.sessions) < model.sessions_per_worker
        ]
        idle = min(shared, key=lambda worker: len(worker.sessions), default=None)
        if idle is None or (idle.sessions and len(shared) < self.size and not thrifty):
            return self.hire(exclusive=False)
        return idle

    def hire(self, exclusive: bool, *, alone: bool = False) -> WorkerLink:
        """A new worker. Raises OSError."""
        link, pid = self._launcher.fork()
        worker = WorkerLink(exclusive, link, pid, self._lost)
        worker.alone = alone
        self.workers.append(worker)
        if self._slower != 1:
            worker.send(Ease(self._slower))
        task = asyncio.get_running_loop().create_task(worker.connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return worker

    def dismiss(self, worker: WorkerLink) -> None:
        """It ends when it has nothing more to do, or is killed."""
        worker.retire()
        self._remove(worker)
        if worker.pid is not None:
            self._dismissed[worker.pid] = now() + END_S

    def ease(self, slower: int) -> None:
        """Partials come so many times more seldom, in every worker there is or will be; 0: none."""
        if slower != self._slower:
            self._slower = slower
            for worker in self.workers:
                worker.send(Ease(slower))

    def look_after(self, hang_s: float) -> None:
        """Once a second: kill what hangs and what does not end."""
        self._launcher.look_after()
        for worker in list(self.workers):
            if worker.silent_s() > hang_s:
                log.error("worker %s has given no sign of life for %.0f s", worker.pid, hang_s)
                self.hangs += 1
                worker.kill()
        for pid, deadline in list(self._dismissed.items()):
            if now() > deadline:
                self._launcher.children.kill(pid)
                del self._dismissed[pid]

    def forgive(self) -> None:
        """It was not theirs that time went by: everyone who owes an answer has as long again."""
        for worker in self.workers:
            worker.forgive()
        self._launcher.forgive()

    def beat(self, hang_s: float) -> float:
        """Ask everyone for a sign of life; the longest silence, in seconds, of who should have been replaced by now."""
        for worker in self.workers:
            worker.ping()
        self._launcher.ping()
        silences = [worker.silent_s() for worker in self.workers]
        beyond = [silence for silence in silences if silence > hang_s + KILL_S]
        return max([self._launcher.silent_s(), *beyond])

    async def close(self) -> None:
        """Dismiss everyone; none is left when this returns."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in list(self.workers):
            self.dismiss(worker)
        children = self._launcher.children
        await children.ended(END_S)
        for pid in children:
            children.kill(pid)
        await children.ended(END_S)

    def _lost(self, worker: WorkerLink) -> None:
        self._remove(worker)
        self._on_lost(worker)

    def _remove(self, worker: WorkerLink) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self._spent_s += worker.cpu_s
