"""The daemon's side of the template: starts it, hears what it loaded, asks it for workers, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec import structs

from appliance import interpreter
from appliance.core.ports import Capabilities
from appliance.scheduling.children import Children
from appliance.scheduling.messages import (
    Alive,
    Broken,
    Exited,
    Forked,
    FromTemplate,
    Loaded,
    Loading,
    Plan,
    Ready,
    Unforked,
)

log = logging.getLogger(__name__)

RESTART_S = 1.0
"""Pause before a template that died is started again."""
LIVES = 5
"""Templates that may die one after the other before they are ready."""
END_S = 2.0
"""For processes to end by themselves before they are killed."""
ANSWER_S = 10.0
"""For a ready template to answer before it is replaced. A fork takes milliseconds, or seconds when its pages have to
come back from swap on a slow card."""
LOAD_S = 900.0
"""For one step of loading: what the slowest board may take to load all models and to measure (``update.trial``)."""
GIVEN_UP = "the process that loads the models dies again and again"


class Launcher:
    """One template at a time. ``models`` is what it has loaded, ``broken`` what it could not, with the reason."""

    def __init__(self, plan: Plan, on_exit: Callable[[int, int], None]) -> None:
        self.models: dict[str, Capabilities] = {}
        self.broken: dict[str, str] = {}
        self.ready = asyncio.Event()
        self.children = Children()
        """Workers that have been forked and have not ended."""
        self._settled = asyncio.Event()
        self._plan = plan
        self._on_exit = on_exit
        self._asked: deque[asyncio.Future[int]] = deque()
        self._pinged = False
        self._waiting_since: float | None = None
        self._heard_at = 0.0
        """When the template that loads was started, or last reported a step."""
        self._waiting: deque[tuple[socket.socket, asyncio.Future[int]]] = deque()
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._was_ready = self._given_up = False

    async def start(self) -> None:
        """Returns when everything that can be loaded is."""
        self._task = asyncio.create_task(self._supervise())
        await self._settled.wait()

    def fork(self) -> tuple[socket.socket, asyncio.Future[int]]:
        """Our end of a new worker's socket, at once, and its process id when there is one. Raises OSError.

        The socket ends, and the future is cancelled, when there will be none.
        """
        if self._given_up:
            raise OSError(errno.ECHILD, GIVEN_UP)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((theirs, forked))
        self._ask()
        return ours, forked

    def ping(self) -> None:
        """Ask the template for a sign of life, unless it owes one already."""
        if not self._pinged and self.ready.is_set() and self._control is not None:
            self._pinged = True
            self._owes()
            with contextlib.suppress(OSError):  # it has just died
                self._control.send(b"p")

    def silent_s(self) -> float:
        """Seconds that an answer of a template that is ready has been waited for, without any sign of life."""
        if self._waiting_since is None or not self.ready.is_set():
            return 0.0
        return asyncio.get_running_loop().time() - self._waiting_since

    def forgive(self) -> None:
        """Restart the deadlines of the template, after the daemon itself was stopped."""
        now = asyncio.get_running_loop().time()
        self._heard_at = now
        if self._waiting_since is not None:
            self._waiting_since = now

    def look_after(self) -> None:
        """Kill a template that does not answer; ``_supervise`` starts another one, which gets the requests again.

        A stopped process gives no answer and does not end, so without this its streams would wait for ever.
        """
        process = self._process
        if process is None or process.returncode is not None or self._control is None:
            return
        if self.ready.is_set():
            stuck, limit_s = self.silent_s() > ANSWER_S, ANSWER_S
        else:
            stuck, limit_s = asyncio.get_running_loop().time() - self._heard_at > LOAD_S, LOAD_S
        if stuck:
            log.error("the template process has given no answer for %.0f s; it is replaced", limit_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End the template. Workers live until their sockets are closed."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), END_S)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()
        self._refuse()
        self.children.close()

    async def _supervise(self) -> None:
        lives = 0
        while lives < LIVES:
            self._was_ready = False
            try:
                suspect = await self._run()
            except OSError as error:
                suspect = None
                log.error("the template process cannot be started: %s", error)
            lives = 0 if self._was_ready else lives + 1
            if suspect is None:
                log.error("the template process died; starting it again")
                await asyncio.sleep(RESTART_S)
                continue
            log.error("model %s ended the process that loaded it; going on without it", suspect)
            self.broken[suspect] = f"the engine crashed loading it; check it with: appliance models verify {suspect}"
            self.models.pop(suspect, None)
            rest = tuple(spec for spec in self._plan.models if spec.name != suspect)
            self._plan = structs.replace(self._plan, models=rest)
        log.critical("the template process died %d times; giving up", LIVES)
        self.models.clear()
        self.broken.setdefault("template", f"{GIVEN_UP}; see the log")
        self._refuse()
        self._settled.set()

    async def _run(self) -> str | None:
        """One life of the template; the model it died of, if it died loading one."""
        ours, theirs = socket.socketpair()
        plan = msgspec.json.encode(self._plan).decode()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *interpreter.command("appliance.scheduling.template", str(theirs.fileno()), plan),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = ours
        self._heard_at = asyncio.get_running_loop().time()
        loading: str | None = None
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                match msgspec.json.decode(line, type=FromTemplate):
                    case Loading(name=name):
                        loading = name
                    case Loaded(capabilities=capabilities):
                        loading = None
                        self.models[capabilities.model] = capabilities
                    case Broken(name=name, reason=reason):
                        log.error("%s", reason)
                        self.broken[name] = reason
                        self.models.pop(name, None)
                    case Alive():
                        self._pinged = False
                    case Ready():
                        self._was_ready = True
                        self.ready.set()
                        self._settled.set()
                        self._ask()
                    case Forked(pid=pid):
                        self.children.add(pid)
                        forked = self._asked.popleft()
                        if not forked.done():
                            forked.set_result(pid)
                    case Unforked(reason=reason):
                        log.error("no worker can be forked: %s", reason)
                        self._asked.popleft().cancel()
                    case Exited(pid=pid, status=status):
                        self._on_exit(pid, status)
                self._heard_at = asyncio.get_running_loop().time()
                self._waiting_since = None
                if self._asked or self._pinged:
                    self._owes()
        finally:
            self.ready.clear()
            self._pinged, self._waiting_since = False, None
            for forked in self._asked:  # whether they were forked will never be known
                forked.cancel()
            self._asked.clear()
        ours.close()
        self._control = None
        await self._process.wait()
        return loading

    def _ask(self) -> None:
        while self._waiting and self.ready.is_set() and self._control is not None:
            theirs, forked = self._waiting.popleft()
            try:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
            except OSError:  # it has just died; its successor is asked instead
                self._waiting.appendleft((theirs, forked))
                self.ready.clear()
                return
            self._asked.append(forked)
            self._owes()
            theirs.close()

    def _refuse(self) -> None:
        """There will be no template any more: who waits for a worker gets none."""
        self._given_up = True
        for theirs, forked in self._waiting:
            theirs.close()
            forked.cancel()
        self._waiting.clear()

    def _owes(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = asyncio.get_running_loop().time()
