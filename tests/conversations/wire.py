"""Plays a conversation over a real socket: the real server and connection loop, a scripted session behind them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.accounts.gate import Account, Accounts, Lease
from appliance.core.events import AnyEvent, Closed
from appliance.core.options import Changes, Endpointing, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import Command, Commit, Configure, Dialect, Finish, Hear, Opening, Transcript, Upload
from appliance.scheduling.live import Sink
from appliance.server import conversation, endpoints, listening
from appliance.server.app import Service
from appliance.server.lag import LagMeter
from appliance.server.sessions import Sessions
from tests.conversations import Line, Side, like, parse
from tests.conversations.codec import BEGIN, endpoint

MESSAGE_BYTES = 16 << 20
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

    full = crowded = False
    backlog_s = 0.0

    async def room(self) -> None: ...

    def commit(self) -> None:
        self.asked.append(Commit())

    def configure(self, changes: Changes) -> None:
        self.asked.append(Configure(changes))

    def finish(self) -> None:
        self.asked.append(Finish())

    def drain(self) -> None:
        """There is nothing left to say."""
        self.sink(Closed(0))

    def close(self) -> None: ...


class ScriptedPool:
    """Makes scripted sessions, and refuses what the conversation says is refused."""

    def __init__(self) -> None:
        self.session: ScriptedSession | None = None
        self.refused: Problem | None = None

    def check(self, options: SessionOptions) -> None:
        if self.refused is not None:
            raise Refused(self.refused.kind, self.refused.detail)

    def open(self, options: SessionOptions, sink: Sink) -> ScriptedSession:
        self.session = ScriptedSession(options, sink)
        return self.session


class ScriptedAccounts(Accounts):
    """The open house, with tokens that the conversation names and refusals that it asks for."""

    def __init__(self, folder: Path, pool: ScriptedPool) -> None:
        super().__init__(folder, open_house=True, clock=time.time)
        self._pool = pool
        self.token = ""

    def admit(self, *asked: Any, **more: Any) -> Lease:
        self._pool.check(SessionOptions())
        return super().admit(*asked, **more)

    def check(self, *asked: Any) -> Account:
        self._pool.check(SessionOptions())
        return super().check(*asked)

    def issue(self, *asked: Any, **more: Any) -> str:
        super().issue(*asked, **more)
        return self.token


class Clock:
    """Stands for the connection's ``time``: the wall clock is the conversation's."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.now = BEGIN

    def time(self) -> float:
        return self.now


class WirePlayer:
    """One conversation over one socket, or one HTTP request after the other."""

    def __init__(self, port: int, pool: ScriptedPool, accounts: ScriptedAccounts, clock: Clock) -> None:
        self._port, self._pool, self._accounts, self._clock = port, pool, accounts, clock
        self._socket: ClientConnection | None = None
        self._request: tuple[str, str, dict[str, str]] | None = None
        self._body = b""
        self._transcript: Transcript | None = None
        self._answer: tuple[int, bytes] | None = None

    async def play(self, text: str) -> None:
        """Raises ``AssertionError`` with the number of the line that does not hold."""
        before, endpoints.transcribe = endpoints.transcribe, self._transcribe
        try:
            for line in parse(text):
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await self._line(line)
                except Exception as error:
                    raise AssertionError(f"line {line.number}: {error!r}") from error
        finally:
            endpoints.transcribe = before
            if self._socket is not None:
                await self._socket.close()

    async def _line(self, line: Line) -> None:
        if line.side is Side.CLIENT and line.verb in ("GET", "POST"):
            self._request, self._body, self._answer = (line.verb, line.rest, {}), b"", None
            self._pool.refused = None
            return
        if line.side is Side.CLIENT and line.verb.endswith(":"):
            assert self._request is not None
            self._request[2][line.verb[:-1]] = line.rest
            return
        if line.side is Side.CLIENT and line.verb == "body":
            self._body = line.rest.encode()
            return
        if line.side is Side.SESSION and line.verb in ("refuse", "issued", "transcript"):
            self._prepare(line)
            return
        if line.side is Side.COMMAND and line.verb in ("TokenWish", "Upload", "KeepAlive"):
            return  # what is wanted shows in the answer, and the clock is the connection's own
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

    def _prepare(self, line: Line) -> None:
        if line.verb == "refuse":
            kind, _, detail = line.rest.partition(":")
            self._pool.refused = Problem(Kind(kind), detail.strip())
        elif line.verb == "issued":
            self._accounts.token = line.rest
        else:
            self._transcript = msgspec.json.decode(line.rest, type=Transcript)

    async def _transcribe(self, upload: Upload, body: AsyncIterator[bytes], *more: Any) -> Transcript:
        assert self._transcript is not None
        return self._transcript

    async def _open(self) -> None:
        if self._request is None:
            return
        (method, target, headers), self._request = self._request, None
        if endpoint(method, urlsplit(target).path) is not None and "upgrade" not in headers:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as client:
                response = await client.request(method, target, headers=headers, content=self._body)
            self._answer = response.status_code, response.content
            return
        try:
            self._socket = await connect(
                f"ws://127.0.0.1:{self._port}{target}", additional_headers=headers, compression=None
            )
        except InvalidStatus as refused:
            self._answer = refused.response.status_code, refused.response.body or b""

    async def _server(self, line: Line) -> None:
        if line.verb == "HTTP":
            assert self._answer is not None, "there was an upgrade"
            status, _, body = line.rest.partition(" ")
            assert str(self._answer[0]) == status, self._answer
            got = self._answer[1].decode()
            if body.startswith("{"):
                assert like(msgspec.json.decode(got), msgspec.json.decode(body)), got
            else:
                assert got.split() == body.split(), got
            return
        assert self._socket is not None, f"there is no connection, but {self._answer}"
        if line.verb == "close":
            with contextlib.suppress(ConnectionClosed):
                raise AssertionError(f"there is {await self._socket.recv()!r}")
            assert f"{self._socket.close_code} {self._socket.close_reason}".strip() == line.rest, (
                self._socket.close_reason
            )
            return
        said = await self._socket.recv()
        if line.verb == "text":
            assert said == line.rest, f"the server says {said!r}"
        else:
            assert like(msgspec.json.decode(said), line.value), f"the server says {said!r}"

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


def _resume(sessions: Sessions, accounts: Accounts, pool: ScriptedPool) -> Any:
    """Any session that is asked for goes on: what the client is told is what counts here."""

    async def resume(kind: type[Dialect], opening: Opening, address: str) -> conversation.Conversation:
        lease = accounts.admit(opening.keys, kind.realm, address)
        resumed = conversation.Conversation(kind, opening, lease, pool)  # type: ignore[arg-type]
        sessions._live[resumed.id] = resumed
        resumed.open(resumed=True)
        return resumed

    return resume


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[WirePlayer]:
    """The server on a free port, and a player at its door."""
    pool, clock = ScriptedPool(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        accounts = ScriptedAccounts(Path(folder), pool)
        service = Service(pool, accounts, {}, LagMeter(), guarded=False, endpointing=Endpointing())  # type: ignore[arg-type]
        service.sessions.resume = _resume(service.sessions, accounts, pool)  # type: ignore[method-assign]
        door = listening.listen("127.0.0.1", 0)
        server = listening.Server(service.app(), None, MESSAGE_BYTES)
        before, conversation.time = conversation.time, clock  # type: ignore[assignment]
        tick, listening.TICK_S = listening.TICK_S, 0.01
        serving = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield WirePlayer(door.getsockname()[1], pool, accounts, clock)
        finally:
            server.should_exit = True
            await serving
            conversation.time, listening.TICK_S = before, tick
            door.close()
