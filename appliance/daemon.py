"""The composition root: builds every part, starts them, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec
import uvicorn
from msgspec import structs
from starlette.applications import Starlette

from appliance.accounts.gate import Accounts, KeysError
from appliance.capture.listener import Listener
from appliance.config import Config, ConfigError, MicrophoneConfig
from appliance.core.options import Limits, SessionOptions
from appliance.dialects import DIALECTS
from appliance.packs.selection import Selection, select
from appliance.packs.store import Store
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.server import machine, trust
from appliance.server.app import Service
from appliance.server.authority import Authority
from appliance.server.certificates import CertificateError
from appliance.server.feed import Feed, MicrophoneInfo
from appliance.server.lag import LagMeter
from appliance.server.tls import Own, Tls

log = logging.getLogger(__name__)

DEAD_MS = 120_000
"""A peer that acknowledges nothing for so long is gone, whether it vanished or just never reads (TCP_USER_TIMEOUT)."""
PING_S = 20.0
"""Keeps that timer honest on idle connections. No answer is asked for in time: a pong can be stuck behind audio."""
SEND_BUFFER = 1 << 17
"""Bytes of results the kernel keeps for a client that does not read; the rest is bounded by us."""
BACKLOG = 512
SAVE_S = 10.0
TICK_S = 0.5
"""Between two looks at whether to end; also the resolution of the HTTP date header."""


class Daemon:
    """One appliance. ``bound`` is the address once it listens, ``bound_tls`` the one with TLS, if that is on.

    ``selection`` overrides the choice of models.
    """

    def __init__(self, config: Config, selection: Selection | None = None) -> None:
        self.config = config
        self.loopback = _is_loopback(config.server.host)
        self._limits = _limits(config.limits)
        wanted = config.recognizer
        self.selection = selection or select(Store(config.models_dir), wanted.engine, wanted.model, wanted.language)
        self.pool: Pool
        self.bound: tuple[str, int] | None = None
        self.bound_tls: tuple[str, int] | None = None
        self._servers: list[_Server] = []
        self._stopping: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[Daemon], None] = lambda daemon: None) -> None:
        """Serve until a signal or ``stop``. ``on_ready`` is called when the models are warm."""
        config = self.config
        self.accounts = self._accounts()
        tls = await asyncio.to_thread(self._tls)
        with contextlib.ExitStack() as sockets:
            plain = sockets.enter_context(_listen("server", config.server.host, config.server.port))
            self.bound = plain.getsockname()[:2]
            listening: list[tuple[socket.socket, ssl.SSLContext | None]] = [(plain, None)]
            if tls is not None:
                secure = sockets.enter_context(_listen("tls", config.server.host, config.tls.port))
                self.bound_tls = secure.getsockname()[:2]
                listening.append((secure, tls.context))
            await self._run(on_ready, tls, listening)

    async def _run(
        self,
        on_ready: Callable[[Daemon], None],
        tls: Tls | None,
        listening: list[tuple[socket.socket, ssl.SSLContext | None]],
    ) -> None:
        config = self.config
        plan = Plan(models=self.selection.models, detector=config.recognizer.detector)
        self.pool = Pool(plan, config.scheduling, self.selection.models[0].name)
        lag = LagMeter()
        self._listeners: list[Listener] = []
        feeds = {microphone.name: self._microphone(microphone) for microphone in config.microphones}
        self._service = Service(
            self.pool,
            self.accounts,
            feeds,
            lag,
            guarded=not self.loopback or config.server.auth == "keys",
            endpointing=config.endpointing,
            limits=self._limits,
            upload_bytes=config.server.max_upload_bytes,
            extra=trust.routes(tls.source.ca, self.bound_tls[1]) if tls and self.bound_tls else (),
        )
        app = self._service.app()
        self._servers = [_Server(self._serving(app, context)) for _, context in listening]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        serving = asyncio.gather(
            *(server.serve(sockets=[each]) for server, (each, _) in zip(self._servers, listening, strict=True))
        )
        tasks = [asyncio.create_task(lag.run()), asyncio.create_task(self._save())]
        if tls is not None:
            tasks.append(asyncio.create_task(tls.run()))
        try:
            await self.pool.start()
            gc.collect()
            gc.freeze()  # what is there now stays; collections need not look at it again
            if self.pool.models:
                on_ready(self)
                tasks += [asyncio.create_task(listener.run()) for listener in self._listeners]
            else:
                log.error("no model could be loaded: %s", "; ".join(self.pool.broken.values()))
            await serving
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.pool.close()
            await asyncio.to_thread(self.accounts.save)

    def stop(self) -> None:
        """Drain and end. Asked a second time, it ends without draining."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        else:
            for server in self._servers:
                server.should_exit = server.force_exit = True

    async def _stop(self) -> None:
        log.info("stopping: clients get their last words")
        try:
            for listener in self._listeners:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(listener.close(), 2.0)
            self._service.drain()
            await self.pool.drain(self.config.server.drain_s)
            self._service.close()
        finally:
            for server in self._servers:
                server.should_exit = True

    def _serving(self, app: Starlette, context: ssl.SSLContext | None) -> uvicorn.Config:
        """How to serve, with TLS when there is a context for it. A handshake has the 60 s of asyncio to be done."""
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=self.config.server.max_message_bytes,
            ws_ping_interval=PING_S,
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
        config.load()
        config.ssl = context
        return config

    def _tls(self) -> Tls | None:
        """The TLS side; None when it is off, or when the box's own authority fails: that is logged.

        Raises ``ConfigError`` for what the owner has set and that cannot be used.
        """
        settings = self.config.tls
        if not settings.enabled:
            return None
        try:
            machine.names(settings.names)
        except ValueError as error:
            raise ConfigError(f"tls.names: {error}") from error
        if settings.certificate:
            try:
                return Tls(Own(Path(settings.certificate).expanduser(), Path(settings.key).expanduser()))
            except CertificateError as error:
                raise ConfigError(str(error)) from error
        try:
            return Tls(Authority(self.config.state_dir / "tls", partial(machine.names, settings.names)))
        except CertificateError as error:
            log.error("TLS is off: %s", error)
            return None

    @property
    def open_house(self) -> bool:
        """Any key that is not empty is good."""
        auth = self.config.server.auth
        return auth == "open" or (auth == "auto" and self.loopback)

    def _accounts(self) -> Accounts:
        """Who may come in. Raises ``ConfigError`` when the keys cannot be read."""
        folder = self.config.state_dir / "accounts"
        try:
            return Accounts(folder, open_house=self.open_house, clock=time.time, ticks=time.monotonic)
        except KeysError as error:
            raise ConfigError(str(error)) from error

    async def _save(self) -> None:
        """What was used is kept, so that a restart does not give it back."""
        while True:
            await asyncio.sleep(SAVE_S)
            await asyncio.to_thread(self.accounts.save)

    def _microphone(self, microphone: MicrophoneConfig) -> Feed:
        options = SessionOptions(
            languages=(microphone.language,) if microphone.language else (),
            endpointing=self.config.endpointing,
        )

        def info() -> MicrophoneInfo:
            source = listener.microphone
            return MicrophoneInfo(
                name=microphone.name,
                device=microphone.device,
                state=source.state.value,
                reason=source.reason,
                rate=listener.rate,
                language=microphone.language or "",
                overruns=source.overruns,
            )

        listener = Listener(
            self.pool,
            microphone.name,
            options,
            device=microphone.device,
            rate=microphone.rate,
            channel=microphone.channel,
            on_event=lambda event: feed.publish(event),
            on_change=lambda: feed.changed(),
        )
        feed = Feed(info)
        self._listeners.append(listener)
        return feed


def _limits(own: Mapping[str, Mapping[str, float]]) -> dict[str, Limits]:
    """The dialects' limits with the owner's over them; false lifts one. Raises ``ConfigError``."""
    known = {dialect.name: dialect.limits for dialect in DIALECTS}
    for name, changes in own.items():
        if name not in known:
            raise ConfigError(f"limits.{name}: there is no such dialect; there are {', '.join(known)}")
        if "flush_s" in changes and known[name].flush_s is None:
            raise ConfigError(f"limits.{name}.flush_s: clients of this dialect say themselves when they want an answer")
        lifted = {key: None if value is False else value for key, value in changes.items()}
        try:
            known[name] = msgspec.convert({**structs.asdict(known[name]), **lifted}, Limits, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"limits.{name}: {error}") from error
    return known


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn 0.54 says so of every upgrade that is refused with an HTTP answer, which is no error."""
    return record.msg != "ASGI callable returned without completing handshake."


logging.getLogger("uvicorn.error").addFilter(_is_news)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, because the daemon drains first, and with fewer wake-ups when idle."""

    async def main_loop(self) -> None:
        while not self.should_exit and not await self.on_tick(0):  # noqa: ASYNC110 - a flag of uvicorn's, not an event
            await asyncio.sleep(TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(table: str, host: str, port: int) -> socket.socket:
    """A listening socket whose connections notice dead peers. Raises ``ConfigError`` when the address cannot be had.

    ``table`` is the one of the configuration that says so.
    """
    listening = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except (OSError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{table}: cannot listen on {host}:{port}: {reason}") from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
