"""The one connection loop: socket <-> dialect <-> session. Reading never waits for writing, nor writing for reading."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.core.events import AnyEvent, Closed, Final, Partial
from appliance.core.options import Endpointing
from appliance.core.pace import Pace
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import (
    Command,
    Commit,
    Configure,
    Dialect,
    Effect,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Refusal,
    Send,
    SessionInfo,
)
from appliance.scheduling.live import LiveSession
from appliance.scheduling.pool import Pool

log = logging.getLogger(__name__)

OUTBOX_BYTES = 4 << 20
"""What a client may leave unread: the finals of many hours. Some clients send a whole file before they read a word."""
PARTIALS = 50
"""Unread messages from which on partials are not added: only the newest would be of use."""
WRITE_S = 120.0
"""A client that has read nothing for this long while more waits is gone."""


class Connection:
    """One client. ``authorize`` raises ``Refused`` for a key that may not stream."""

    def __init__(
        self,
        socket: WebSocket,
        dialect: type[Dialect],
        pool: Pool,
        authorize: Callable[[str | None], None],
        endpointing: Endpointing,
    ) -> None:
        self._socket = socket
        self._kind = dialect
        self._pool = pool
        self._authorize = authorize
        self._endpointing = endpointing
        self._started = False
        self._held = False
        self._outbox: deque[Send | Hangup] = deque()
        self._unread = 0
        self._work = asyncio.Event()
        self._sooner = asyncio.Event()
        self._over = False
        self._dialect: Dialect
        self._session: LiveSession
        self._pace: Pace

    async def run(self) -> None:
        """From the upgrade request to the closed socket."""
        with contextlib.suppress(WebSocketDisconnect):  # a client may be gone at any moment
            await self._run(_handshake(self._socket, self._endpointing))

    async def _run(self, handshake: Handshake) -> None:
        opening = self._kind.open(handshake)
        if isinstance(opening, Refusal):
            await self._refuse(opening)
            return
        try:
            self._authorize(opening.key)
            self._session = self._pool.open(opening.options, self._told)
        except Refused as refused:
            await self._refuse(self._kind.refuse(refused.problem, handshake))
            return
        self._dialect = opening.dialect
        model = self._session.model
        info = SessionInfo(str(uuid.uuid4()), model.language, model.model, time.time)
        try:
            await self._socket.accept()
            log.info("%s session %s opened: %s", self._kind.name, info.id, model.model)
            self._pace = Pace(opening.limits, time.monotonic())
            self._started = True
            self._do(opening.dialect.opening(info))
            await self._converse()
        finally:
            self._session.close()
            log.info("%s session %s closed", self._kind.name, info.id)

    def drain(self) -> None:
        """The server is stopping: let the session say its last words; its end closes the socket."""
        if self._started and not self._over:
            self._session.finish()

    async def _converse(self) -> None:
        tasks = {
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write()),
            asyncio.create_task(self._time()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(WebSocketDisconnect, TimeoutError):  # the client is gone, or reads no more
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        """The client's messages, at the pace at which their audio is dealt with."""
        receive = self._socket.receive
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if self._over:
                continue
            data = message.get("bytes")
            for command in self._dialect.receive(data if data is not None else message.get("text", "")):
                self._obey(command)
            if self._session.full:
                self._held = True
                await self._session.room()
                self._held = False
                self._pace.resume(time.monotonic())

    async def _write(self) -> None:
        """What waits, in order; returns after a hangup."""
        while True:
            while self._outbox:
                match self._outbox[0]:
                    case Send(text=text):
                        await asyncio.wait_for(self._socket.send_text(text), WRITE_S)
                        self._unread -= len(text)
                    case Hangup(code=code, reason=reason):
                        await self._socket.close(code, reason)
                        return
                self._outbox.popleft()
            self._work.clear()
            await self._work.wait()

    async def _time(self) -> None:
        """Idle, too long, too fast, and the silence of a client that has stopped sending."""
        while True:
            now = time.monotonic()
            if not self._over:
                kind = self._pace.check(now)
                if kind is not None:
                    self._fail(Problem(kind))
                elif not self._held and self._pace.flush_due(now):
                    self._session.commit()
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sooner.wait(), self._pace.wait(now))

    def _obey(self, command: Command | Effect) -> None:
        now = time.monotonic()
        match command:
            case Hear(data=data):
                if self._pace.audio(len(data) / self._session.options.audio.bytes_per_second, now):
                    self._sooner.set()
                self._session.push(data)
                kind = self._pace.check(now)
                if kind is not None:
                    self._fail(Problem(kind))
            case Commit():
                self._session.commit()
            case Configure(changes=changes):
                self._session.configure(changes)
            case Finish():
                self._session.finish()
            case KeepAlive():
                self._pace.alive(now)
            case Send() | Hangup():
                self._do([command])

    def _told(self, event: AnyEvent) -> None:
        """An event of the session; called by the pool."""
        if self._over or (isinstance(event, Partial) and len(self._outbox) >= PARTIALS):
            return
        if isinstance(event, Final):
            log.debug("final %d: %d words", event.segment, len(event.words))
        self._do(self._dialect.emit(event))
        if isinstance(event, Closed):
            self._over = True
        elif self._unread > OUTBOX_BYTES:
            self._fail(Problem(Kind.CLIENT_TOO_SLOW))

    def _fail(self, problem: Problem) -> None:
        log.info("%s: %s", self._kind.name, problem.message)
        self._do(self._dialect.fail(problem))
        self._session.close()

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            if self._over:
                return
            self._outbox.append(effect)
            self._unread += len(effect.text) if isinstance(effect, Send) else 0
            self._over = isinstance(effect, Hangup)
        self._work.set()

    async def _refuse(self, refusal: Refusal) -> None:
        if refusal.status:
            headers = {"content-type": "application/json", **dict(refusal.headers)}
            await self._socket.send_denial_response(Response(refusal.body, refusal.status, headers))
            return
        await self._socket.accept()
        for effect in refusal.effects:
            match effect:
                case Send(text=text):
                    await self._socket.send_text(text)
                case Hangup(code=code, reason=reason):
                    await self._socket.close(code, reason)


def _handshake(socket: WebSocket, endpointing: Endpointing) -> Handshake:
    scope: dict[str, Any] = dict(socket.scope)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Handshake(scope["path"], headers, list(socket.query_params.multi_items()), endpointing)
