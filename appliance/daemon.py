"""The composition root: builds every part, starts them, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from appliance.capture.listener import Listener
from appliance.config import Config, ConfigError, MicrophoneConfig
from appliance.core.options import SessionOptions
from appliance.packs.selection import Selection, select
from appliance.packs.store import Store
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.server.app import Service
from appliance.server.feed import Feed, MicrophoneInfo
from appliance.server.lag import LagMeter

log = logging.getLogger(__name__)

DEAD_MS = 120_000
"""A peer that acknowledges nothing for so long is gone, whether it vanished or just never reads (TCP_USER_TIMEOUT)."""
PING_S = 20.0
"""Keeps that timer honest on idle connections. No answer is asked for in time: a pong can be stuck behind audio."""
SEND_BUFFER = 1 << 17
"""Bytes of results the kernel keeps for a client that does not read; the rest is bounded by us."""
BACKLOG = 512
TICK_S = 0.5
"""Between two looks at whether to end; also the resolution of the HTTP date header."""


class Daemon:
    """One appliance. ``bound`` is the address once it listens; ``selection`` overrides the choice of models."""

    def __init__(self, config: Config, selection: Selection | None = None) -> None:
        self.config = config
        self.loopback = _is_loopback(config.server.host)
        if not self.loopback and config.server.auth != "open":
            raise ConfigError(
                f"server.auth: on {config.server.host} anyone on the network can connect; "
                'set it to "open" if that is meant'
            )
        wanted = config.recognizer
        self.selection = selection or select(Store(config.models_dir), wanted.engine, wanted.model, wanted.language)
        self.pool: Pool
        self.bound: tuple[str, int] | None = None
        self._server: _Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[Daemon], None] = lambda daemon: None) -> None:
        """Serve until a signal or ``stop``. ``on_ready`` is called when the models are warm."""
        config = self.config
        listening = _listen(config.server.host, config.server.port)
        self.bound = listening.getsockname()[:2]
        plan = Plan(models=self.selection.models, detector=config.recognizer.detector)
        self.pool = Pool(plan, config.scheduling, self.selection.models[0].name)
        lag = LagMeter()
        self._listeners: list[Listener] = []
        feeds = {microphone.name: self._microphone(microphone) for microphone in config.microphones}
        self._service = Service(self.pool, feeds, lag, guarded=not self.loopback, endpointing=config.endpointing)
        self._server = _Server(
            uvicorn.Config(
                self._service.app(),
                ws="websockets-sansio",
                ws_max_size=config.server.max_message_bytes,
                ws_ping_interval=PING_S,
                ws_ping_timeout=None,
                ws_per_message_deflate=False,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        tasks = [asyncio.create_task(lag.run())]
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
            listening.close()

    def stop(self) -> None:
        """Drain and end. Asked a second time, it ends without draining."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        elif self._server is not None:
            self._server.should_exit = self._server.force_exit = True

    async def _stop(self) -> None:
        log.info("stopping: clients get their last words")
        assert self._server is not None
        try:
            for listener in self._listeners:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(listener.close(), 2.0)
            self._service.drain()
            await self.pool.drain(self.config.server.drain_s)
            self._service.close()
        finally:
            self._server.should_exit = True

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


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, because the daemon drains first, and with fewer wake-ups when idle."""

    async def main_loop(self) -> None:
        while not self.should_exit and not await self.on_tick(0):  # noqa: ASYNC110 - a flag of uvicorn's, not an event
            await asyncio.sleep(TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections notice dead peers. Raises ``ConfigError`` when the address cannot be had."""
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
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"server: cannot listen on {host}:{port}: {reason}") from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
