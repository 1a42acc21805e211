"""The daemon's end of a worker: bytes out in few writes, reports in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from appliance.scheduling.messages import (
    Channel,
    Close,
    Ease,
    Failed,
    Gone,
    Measure,
    Measured,
    Open,
    Ping,
    Pong,
    Report,
    ToDaemon,
    ToWorker,
    packed,
)

if TYPE_CHECKING:
    from appliance.scheduling.live import LiveSession

GATHER_S = 0.05
"""Messages to one worker closer together than this go in one write: waking a process costs more than carrying audio.
The first after a pause goes at once, so a single stream of 100 ms chunks waits for nothing; so does a lot of audio."""
GATHER_BYTES = 1 << 14


def now() -> float:
    """The loop's clock, seconds."""
    return asyncio.get_running_loop().time()


class WorkerLink(asyncio.Protocol):
    """The daemon's end of one worker. ``alone`` keeps it for a session that may have killed its predecessor."""

    def __init__(
        self,
        exclusive: bool,
        link: socket.socket,
        forked: asyncio.Future[int],
        on_lost: Callable[[WorkerLink], None],
    ) -> None:
        self.sessions: dict[int, LiveSession] = {}
        self.served = 0
        self.exclusive = exclusive
        self.alone = False
        self.retired = False
        self.waiting_since: float | None = None
        """When the worker last gave a sign of life, if it owes an answer; ``None`` when it owes none."""
        self._on_lost = on_lost
        self._channel = Channel[ToDaemon](ToDaemon)  # type: ignore[arg-type]
        self._gathered = bytearray()
        self._due: asyncio.Handle | None = None
        self._sent_at = -GATHER_S
        self._link = link
        self._forked = forked
        self._owed: set[int] = set()
        self._pinged = self._heard = False
        self._measured: asyncio.Future[Measured] | None = None
        self.cpu_s = 0.0
        """Processor seconds it had used at its last ``Pong``."""
        self._connecting = False
        self._transport: asyncio.Transport | None = None
        forked.add_done_callback(self._born)

    @property
    def pid(self) -> int | None:
        """The process, once it has been forked."""
        return self._forked.result() if self._forked.done() and not self._forked.cancelled() else None

    @property
    def born(self) -> bool:
        """There was such a process, whether the template lived to tell or not."""
        return self._heard or self.pid is not None

    def send(self, message: ToWorker) -> None:
        """Never blocks; what may be under way is bounded by the sessions' windows."""
        self._gathered += packed(message)
        if isinstance(message, Open | Close):
            self._owed.add(message.sid)
        if self.waiting_since is None and not isinstance(message, Ease):
            self.waiting_since = now()
        if self._transport is None:
            return
        if len(self._gathered) >= GATHER_BYTES:
            self._flush()
        elif self._due is None:
            wait = self._sent_at + GATHER_S - now()
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(wait, self._flush) if wait > 0 else loop.call_soon(self._flush)

    def ping(self) -> None:
        """Ask for a sign of life, unless one is owed already."""
        if not self._pinged:
            self._pinged = True
            self.send(Ping())

    async def measure(self, message: Measure) -> Measured:
        """One at a time. Raises ConnectionError when the worker dies of it."""
        self._measured = asyncio.get_running_loop().create_future()
        self.send(message)
        return await self._measured

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._transport is not None and self._gathered:
            self._sent_at = now()
            self._transport.write(bytes(self._gathered))
            self._gathered.clear()

    def retire(self) -> None:
        """No more sessions; the worker ends when it sees its socket closed."""
        self.retired = True
        self._flush()
        if self._transport is not None:
            self._transport.close()
        elif not self._connecting:
            self._link.close()

    async def connect(self) -> None:
        """Begin to read; what was said before is sent now."""
        if not self.retired:
            self._connecting = True
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._link)

    def silent_s(self) -> float:
        """Seconds that an answer has been waited for, without any sign of life; 0 while it is not yet forked."""
        return now() - self.waiting_since if self.waiting_since is not None and self._forked.done() else 0.0

    def forgive(self) -> None:
        """What it owes it may take as long for as if it had been asked now."""
        if self.waiting_since is not None:
            self.waiting_since = now()

    def kill(self) -> None:
        """For a worker that hangs. Its sessions do not wait until it is really gone."""
        self.waiting_since = None
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._flush()
        if self.retired:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        for message in self._channel.feed(data):
            match message:
                case Report(sid=sid) | Failed(sid=sid):
                    self._owed.discard(sid)
                    if (session := self.sessions.get(sid)) is not None:
                        session.told(message)
                case Gone(sid=sid):
                    self._owed.discard(sid)
                case Pong(cpu_s=cpu_s):
                    self._pinged = False
                    self.cpu_s = cpu_s
                case Measured() if self._measured is not None and not self._measured.done():
                    self._measured.set_result(message)
        owes = self._owed or self._pinged or any(session.outstanding for session in self.sessions.values())
        self.waiting_since = now() if owes else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._measured is not None and not self._measured.done():
            self._measured.set_exception(ConnectionError("the worker died"))
        self._on_lost(self)

    def _born(self, forked: asyncio.Future[int]) -> None:
        self.forgive()
