"""The composition root: builds every part, starts them, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from msgspec import structs

from appliance import canary, modelchoice, parts
from appliance.accounts.account import Account
from appliance.accounts.disk import replace
from appliance.board.button import GpiodButton
from appliance.board.lamps import LampError
from appliance.board.notify import Supervisor
from appliance.board.panel import Panel
from appliance.board.sensors import memory_available
from appliance.config import Config, ConfigError
from appliance.controls import Controls
from appliance.dialects.native import Native
from appliance.engines.registry import EngineError
from appliance.memory import settle
from appliance.microphones import Microphones
from appliance.packs.disk import PackError
from appliance.packs.selection import Selection
from appliance.scheduling.calibrate import HELD, calibrate
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.server import trust
from appliance.server.app import Service
from appliance.server.lag import LagMeter
from appliance.server.listening import Server
from appliance.server.metrics import Sources
from appliance.server.origins import ANY
from appliance.server.spool import SpoolRoom
from appliance.server.tls import Tls
from appliance.status import Phase, Status
from appliance.update.releases import Places
from appliance.updating import Updating

log = logging.getLogger(__name__)

SAVE_S = 10.0
GOODBYE_S = 30.0
"""For all that is to be done at the end beside draining."""
SELFTEST_S = 3600.0
"""How often the self-test gets another key; each is good for twice as long."""
LIVE = frozenset({"limits", "endpointing", "log"})
"""Tables of the configuration that a reload puts in force; the others need a restart."""


class Daemon:
    """One appliance. ``bound`` is the address once it listens, ``bound_tls`` the one with TLS, if that is on.

    ``selection`` overrides the choice of models; ``again`` reads the configuration anew, for a reload.
    Raises ``EngineError`` or ``PackError`` when the model asked for cannot be had, unless systemd looks after us: then
    the box comes up without one, to be asked what is wrong.
    """

    def __init__(
        self, config: Config, selection: Selection | None = None, again: Callable[[], Config] | None = None
    ) -> None:
        self.config = config
        self.loopback = parts.is_loopback(config.server.host)
        self.open_house = parts.open_house(config)
        self._limits = parts.limits(config.limits)
        parts.check(config)
        self._supervisor = Supervisor()
        self._updating = Updating(Places())
        self._missing = ""
        self._profile = parts.profile(config.board)
        self.selection = selection or self._select()
        self._again = again
        self.pool: Pool
        self.bound: tuple[str, int] | None = None
        self.bound_tls: tuple[str, int] | None = None
        self.failed = ""
        """Why it has ended, when nobody wanted it to."""
        self._published: Callable[[], str] = str
        """The name in .local that the network is told; empty while it is told none."""
        self._servers: list[Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[Daemon], None] = lambda daemon: None) -> None:
        """Serve until a signal or ``stop``. ``on_ready`` is called when the models are warm."""
        config = self.config
        self.accounts = parts.accounts(config)
        tls = await asyncio.to_thread(parts.tls, config)
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(parts.listening("server", config.server.host, config.server.port))
            self.bound = plain.getsockname()[:2]
            listening: list[tuple[socket.socket, ssl.SSLContext | None]] = [(plain, None)]
            if tls is not None:
                secure = stack.enter_context(parts.listening("tls", config.server.host, config.tls.port))
                self.bound_tls = secure.getsockname()[:2]
                listening.append((secure, tls.context))
            self._build(tls, stack)
            await self._run(on_ready, tls, listening)

    def _build(self, tls: Tls | None, stack: contextlib.ExitStack) -> None:
        config = self.config
        share = config.scheduling.partial_share
        models = tuple(structs.replace(model, partial_share=share) for model in self.selection.models)
        plan = Plan(models=models, detector=config.recognizer.detector)
        self.pool = Pool(plan, config.scheduling, next((model.name for model in plan.models), ""))
        self._lag = LagMeter()
        self._sockets = parts.sockets(config)
        self._panel = Panel(parts.lamps(config.lights, self._profile))
        stack.callback(self._panel.close)
        self._microphones = Microphones(
            self.pool, config, guard=self._panel, heard=lambda name, event: self._status.heard(name, event)
        )
        self._controls = Controls(
            [listener.microphone for listener in self._microphones.listeners],
            config.state_dir,
            on_change=lambda: self._status.look(),
            note=lambda subject, text: self._status.note(subject, text),
            stop=self.stop,
        )
        self._status = Status(
            self.pool,
            self._microphones.listeners,
            clients=lambda: len(self._service.sessions),
            muted=lambda: self._controls.muted,
            supervisor=self._supervisor,
            panel=self._panel,
            state_dir=config.state_dir,
        )
        self._status.model = self.selection.told()
        self._service = Service(
            self.pool,
            self.accounts,
            self._microphones.feeds,
            self._lag,
            guarded=not self.loopback or config.server.auth == "keys",
            endpointing=config.endpointing,
            limits=self._limits,
            upload_bytes=config.server.max_upload_bytes,
            extra=(
                *(trust.routes(tls.source.ca, self.bound_tls[1]) if tls and self.bound_tls else ()),
                *self._updating.routes(self.accounts, memory_available),
            ),
            room=SpoolRoom(Path(tempfile.gettempdir()), memory_available),
            detail=self._status.detail,
            hosts=parts.device_hosts(config, tls, lambda: self._published()),
            origins=config.server.allowed_origins if self.open_house else (ANY,),
            readers=config.server.allowed_origins,
            sources=Sources(
                board=lambda: self._status.readings,
                skipped=lambda: {each.microphone.name: each.skipped_s for each in self._microphones.listeners},
                expires=lambda: tls.ends if tls else None,
                connections=lambda: (self._sockets.open, self._sockets.refused),
            ),
        )
        self.pool.on_final = self._final
        self._controls.restore()
        self._press(stack)

    async def _run(
        self,
        on_ready: Callable[[Daemon], None],
        tls: Tls | None,
        listening: list[tuple[socket.socket, ssl.SSLContext | None]],
    ) -> None:
        app = self._service.app()
        web = self.config.server
        self._servers = [
            Server(app, context, web.max_message_bytes, self._sockets, web.proxies) for _, context in listening
        ]
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGHUP: self.reload,
            signal.SIGUSR1: self._controls.retry,
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        serving = asyncio.gather(
            *(server.serve(sockets=[each]) for server, (each, _) in zip(self._servers, listening, strict=True))
        )
        for work in (self._lag.run(), self._save(), self._status.run(), self._panel.run()):
            self._begin(work)
        if tls is not None:
            self._begin(tls.run())
        warming = asyncio.create_task(self._warm_up())
        try:
            await asyncio.wait((warming, asyncio.ensure_future(serving)), return_when=asyncio.FIRST_COMPLETED)
            if self._stopping is None:
                warming.result()
                self._serve(on_ready)
            await serving
        finally:
            await self._end(warming, *self._tasks)
            await self.pool.close()
            await asyncio.to_thread(self.accounts.save)
            for number in handlers:
                loop.remove_signal_handler(number)
            for number in (signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)  # by themselves they would kill what is ending

    def _serve(self, on_ready: Callable[[Daemon], None]) -> None:
        """The models are warm, or there are none."""
        log.info("%s", self.selection.line() or "no model")
        if not self.pool.models:
            self._status.enter(Phase.NO_MODEL)
            log.error("%s", self._status.line())
            return
        self._status.enter(Phase.SERVING)
        on_ready(self)
        own = self._status.watch(), self._let_selftest_in(), self._updating.watch(self._status.note)
        for work in (*(listener.run() for listener in self._microphones.listeners), *own):
            self._begin(work)
        if self.config.discovery.enabled and not self.loopback:
            self._begin(self._announce())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on until the end. Should it fail, all of it is ended, to be started anew."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.critical("a part of the daemon has failed: %s", error, exc_info=error)
            self.failed = f"a part of the daemon has failed: {error!r}"
            self.stop()

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _warm_up(self) -> None:
        """Models loaded, their cost known."""
        measured = self.config.scheduling.calibrate
        self.pool.held = HELD if measured else ""
        await self.pool.start()
        if self._missing:
            self.pool.broken["model"] = self._missing
        self._microphones.reserve()
        if self.pool.models and measured:
            self._status.enter(Phase.MEASURING)
            phrase = await asyncio.to_thread(canary.load)
            kept = self.config.state_dir / "calibration.json"
            found = await calibrate(self.pool, kept, phrase.samples, self._profile.title)
            self._status.note("model", modelchoice.too_slow_note(self.selection, found.models, self.config))
        self.pool.held = ""
        settle()

    def stop(self) -> None:
        """Drain and end. Asked a second time, it ends without draining."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        else:
            for server in self._servers:
                server.should_exit = server.force_exit = True

    async def _stop(self) -> None:
        log.info("stopping: clients get their last words")
        self._supervisor.extend(self.config.server.drain_s + GOODBYE_S)
        self._status.enter(Phase.STOPPING)
        try:
            await self._microphones.close()
            self._service.drain()
            await self.pool.drain(self.config.server.drain_s)
            self._service.close()
        finally:
            for server in self._servers:
                server.should_exit = True

    def reload(self) -> None:
        """The configuration anew: what can change while serving does, the rest is named. A bad one changes nothing."""
        if self._again is None:
            return
        serving = self._status.phase is Phase.SERVING
        if serving:
            self._supervisor.reloading()
        try:
            config = self._again()
            limits = parts.limits(config.limits)
            parts.profile(config.board)
            parts.check(config)
        except ConfigError as error:
            self._status.note("reload", f"refused, all is as before: {error}")
        else:
            old, new = structs.asdict(self.config), structs.asdict(config)
            fixed = [table for table in old if table not in LIVE and old[table] != new[table]]
            self.config = structs.replace(self.config, **{table: new[table] for table in LIVE})
            self._service.configure(config.endpointing, limits)
            self._microphones.configure(config.endpointing)
            logging.getLogger().setLevel(config.log.level.upper())
            log.info("the configuration has been read again")
            self._status.note("reload", f"needs a restart: {', '.join(fixed)}" if fixed else "")
        if serving:
            self._supervisor.ready(self._status.line())

    def _select(self) -> Selection:
        try:
            return modelchoice.chosen(self.config, self._profile)
        except (EngineError, PackError) as error:
            if not self._supervisor.present:
                raise
            self._missing = str(error)
            return Selection((), self._missing)

    def _press(self, stack: contextlib.ExitStack) -> None:
        """The button, if there is one."""
        line = parts.button(self.config.lights, self._profile)
        if line:
            try:
                button = GpiodButton(line, self._controls.toggle_mute, self._controls.power_off)
            except LampError as error:
                self._status.note("button", str(error))
                return
            stack.callback(button.close)

    def _final(self, delay_s: float) -> None:
        """A client has been told a final, so long after the audio that brought it about."""
        self._service.metrics.observe(delay_s)
        self._status.wrote()

    async def _announce(self) -> None:
        """Tell the network about the box until cancelled. Without that it is found by its address: no reason to end."""
        from appliance.server.discovery import Announcer

        assert self.bound is not None
        languages = (model.language for model in self.pool.models.values())
        tls_port = self.bound_tls[1] if self.bound_tls else None
        try:
            announcer = Announcer(parts.announcement(self.config, self.bound, tls_port, languages))
            self._published = lambda: announcer.published[1] if announcer.published else ""
            await announcer.run()
        except Exception as error:
            log.exception("the network is not told about the box")
            self._status.note("discovery", repr(error))

    async def _save(self) -> None:
        """What was used is kept, so that a restart does not give it back."""
        while True:
            await asyncio.sleep(SAVE_S)
            await asyncio.to_thread(self.accounts.save)

    async def _let_selftest_in(self) -> None:
        """A key for `appliance selftest`, in the service's runtime directory, readable by the service only."""
        runtime = os.environ.get("RUNTIME_DIRECTORY")
        while runtime:
            token = self.accounts.issue(
                Account("selftest", "selftest", True), Native.name, lifetime_s=2 * SELFTEST_S, single_use=False
            )
            try:
                replace(Path(runtime.split(":")[0]) / "selftest.key", token.encode())
            except OSError as error:
                log.warning("the self-test gets no key: %s", error.strerror)
            await asyncio.sleep(SELFTEST_S)
