"""Plays a conversation over a real socket: the real server and connection loop, a scripted session behind them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.core.events import AnyEvent, Closed
from appliance.core.options import Changes, Endpointing, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem
from appliance.daemon import _listen, _Server
from appliance.dialects.base import Command, Commit, Configure, Finish, Hear
from appliance.scheduling.live import Sink
from appliance.server import connection
from appliance.server.app import Service
from appliance.server.lag import LagMeter
from tests.conversations import Line, Side, like, parse
from tests.conversations.codec import BEGIN

PATIENCE_S = 5.0


class ScriptedSession:
    """Stands where a session of the pool stands: keeps what it is asked, says what the conversation says."""

    def __init__(self, options: SessionOptions, sink: Sink) -> None:
        self.options = options
        self.sink = sink
        self.asked: deque[Command] = deque()
        self.model = Capabilities(
            engine="fake",
            model="fake",
            language=(options.languages or ("en",))[0],
            grammar=True,
            word_confidence=True,
            sessions_per_worker=1,
            streams_per_core=1,
        )

    def push(self, data: bytes) -> None:
        self.asked.append(Hear(data))

    full = False

    async def room(self) -> None: ...

    def commit(self) -> None:
        self.asked.append(Commit())

    def configure(self, changes: Changes) -> None:
        self.asked.append(Configure(changes))

    def finish(self) -> None:
        self.asked.append(Finish())

    def close(self) -> None: ...


class ScriptedPool:
    def __init__(self) -> None:
        self.session: ScriptedSession | None = None

    def open(self, options: SessionOptions, sink: Sink) -> ScriptedSession:
        self.session = ScriptedSession(options, sink)
        return self.session


class Clock:
    """Stands for the connection's ``time``: the wall clock is the conversation's."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.now = BEGIN

    def time(self) -> float:
        return self.now


class WirePlayer:
    """One conversation over one socket."""

    def __init__(self, port: int, pool: ScriptedPool, clock: Clock) -> None:
        self._port, self._pool, self._clock = port, pool, clock
        self._socket: ClientConnection | None = None
        self._refused: InvalidStatus | None = None
        self._request: tuple[str, dict[str, str]] | None = None

    async def play(self, text: str) -> None:
        """Raises ``AssertionError`` with the number of the line that does not hold."""
        try:
            for line in parse(text):
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await self._line(line)
                except Exception as error:
                    raise AssertionError(f"line {line.number}: {error!r}") from error
        finally:
            if self._socket is not None:
                await self._socket.close()

    async def _line(self, line: Line) -> None:
        if line.side is Side.CLIENT and line.verb == "GET":
            self._request = (line.rest, {})
            return
        if line.side is Side.CLIENT and line.verb.endswith(":"):
            assert self._request is not None
            self._request[1][line.verb[:-1]] = line.rest
            return
        await self._open()
        match line.side:
            case Side.CLIENT:
                assert self._socket is not None
                await self._socket.send(line.rest if line.verb == "text" else bytes(int(line.rest)))
            case Side.SERVER:
                await self._server(line)
            case Side.SESSION:
                self._session(line)
            case Side.COMMAND:
                await self._command(line)

    async def _open(self) -> None:
        if self._socket is not None or self._refused is not None:
            return
        assert self._request is not None
        target, headers = self._request
        try:
            self._socket = await connect(
                f"ws://127.0.0.1:{self._port}{target}", additional_headers=headers, compression=None
            )
        except InvalidStatus as refused:
            self._refused = refused

    async def _server(self, line: Line) -> None:
        if line.verb == "HTTP":
            assert self._refused is not None
            status, _, body = line.rest.partition(" ")
            response = self._refused.response
            assert str(response.status_code) == status
            assert like(json.loads(response.body or b""), msgspec.json.decode(body)), response.body
            return
        assert self._socket is not None, "there is no connection"
        if line.verb == "close":
            with contextlib.suppress(ConnectionClosed):
                raise AssertionError(f"there is {await self._socket.recv()!r}")
            assert f"{self._socket.close_code} {self._socket.close_reason}".strip() == line.rest
            return
        said = await self._socket.recv()
        assert like(json.loads(said), line.value), f"the server says {said!r}"

    def _session(self, line: Line) -> None:
        if line.verb == "clock":
            self._clock.now = BEGIN + float(line.rest)
            return
        assert self._pool.session is not None
        event: Any
        if line.verb == "problem":
            kind, _, detail = line.rest.partition(":")
            event = Closed(0, Problem(Kind(kind), detail.strip()))
        else:
            event = msgspec.json.decode(line.rest, type=AnyEvent)
        self._pool.session.sink(event)

    async def _command(self, line: Line) -> None:
        assert self._pool.session is not None
        while not self._pool.session.asked:
            await asyncio.sleep(0.001)
        asked = self._pool.session.asked.popleft()
        assert type(asked).__name__ == line.verb, f"the session is asked {asked}"
        if isinstance(asked, Hear):
            assert str(len(asked.data)) == line.rest


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[tuple[int, ScriptedPool, Clock]]:
    """The server on a free port, its pool and its clock."""
    pool, clock = ScriptedPool(), Clock()
    service = Service(pool, {}, LagMeter(), guarded=False, endpointing=Endpointing())  # type: ignore[arg-type]
    listening = _listen("127.0.0.1", 0)
    config = uvicorn.Config(
        service.app(), ws="websockets-sansio", ws_per_message_deflate=False, log_config=None, lifespan="off"
    )
    server = _Server(config)
    before, connection.time = connection.time, clock  # type: ignore[assignment]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1], pool, clock
    finally:
        server.should_exit = True
        await serving
        connection.time = before
        listening.close()
