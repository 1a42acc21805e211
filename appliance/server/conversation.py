"""A session and the codec in whose words it is told. It may outlive its socket; then another socket goes on with it.

Reading never waits for writing, nor writing for reading. A conversation that ends with a problem tells first what was
already heard.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque

from msgspec import Struct, structs
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.accounts.gate import Lease
from appliance.core.events import AnyEvent, Closed, Committed, Partial
from appliance.core.pace import Pace
from appliance.core.problems import Kind, Problem
from appliance.core.riff import audio_bytes
from appliance.dialects.base import (
    Command,
    Commit,
    Configure,
    Dialect,
    Effect,
    Finish,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Send,
    SessionInfo,
)
from appliance.scheduling.live import LiveSession
from appliance.scheduling.pool import Pool
from appliance.server.audio_input import AudioInput
from appliance.server.inbound import Inbound, Message
from appliance.server.refusals import MESSAGE, Refusals

OUTBOX_BYTES = 4 << 20
"""What a client may leave unread: the finals of many hours. Some clients send a whole file before they read a word."""
PARTIALS = 50
"""Unread messages from which on partials are not added: only the newest would be of use."""
WRITE_S = 120.0
"""A client that has read nothing for this long while more waits is gone."""
LAST_WORDS_S = 5.0
"""For a session that ends with a problem to get on with what it has heard; again, as long as it does."""
STALL_S = 90.0
"""Of being held back by a full inbox; longer than it takes to replace a worker that hangs."""
BUSY_S = 0.25
"""Between two looks at what is due but waits, as idleness does while the session is busy."""
RETELL_S = 30.0
"""A message sent so long ago, or before the client was last heard, has been delivered."""
NORMAL = 1000
"""The close code of an end that nobody minds (RFC 6455, 7.4.1)."""
AT_ONCE = frozenset({Kind.ENGINE_FAILED, Kind.CLIENT_TOO_SLOW, Kind.SHUTTING_DOWN, Kind.SESSION_EXPIRED})
"""Problems after which there are no last words, or nobody to hear them."""


class _Out(Struct, frozen=True):
    """An effect that waits. What is passing is for this socket only: an opening, and partials, of no use when late."""

    effect: Effect
    passing: bool = False

    @property
    def size(self) -> int:
        return len(self.effect.text) if isinstance(self.effect, Send) else 0


class Conversation:
    """Made by ``Sessions``. ``over`` once nothing more will be said; ``kind`` is the dialect, ``id`` the session's."""

    def __init__(
        self, kind: type[Dialect], opening: Opening, lease: Lease, pool: Pool, refusals: Refusals | None = None
    ) -> None:
        """Raises ``Refused`` when the pool has no room."""
        self.id = str(uuid.uuid4())
        self.kind = kind
        self.lease = lease
        self.over = False
        self.ended = Kind.SESSION_CLOSED
        """Why it is over, as one who wants to resume it is told."""
        longest = [limit for limit in (opening.limits.longest_s, lease.longest_s) if limit is not None]
        self.limits = structs.replace(opening.limits, longest_s=min(longest, default=None))
        self._refusals = refusals or Refusals()
        self._dialect = opening.dialect
        self._pace = Pace(self.limits, time.monotonic())
        self._outbox: deque[_Out] = deque()
        self._unread = 0
        self._sent: deque[tuple[float, Send]] = deque()
        self._heard = time.monotonic()
        self._held_since: float | None = None
        self.finished = False
        """The client has asked for the end."""
        self._owed = 0
        """Commits that have no answer yet."""
        self._last_words: Problem | list[Effect] | None = None
        self._left_s = 0.0
        self._deadline: float | None = None
        self._work, self._sooner = asyncio.Event(), asyncio.Event()
        self._replaced, self._left = asyncio.Event(), asyncio.Event()
        self._left.set()
        self._session: LiveSession = pool.open(opening.options, self._told)
        self._input = AudioInput(self._session, opening.containers, self._audio, self._fail)

    @property
    def stream(self) -> LiveSession | None:
        """The stream that the session holds in the pool, ``None`` once the session is over."""
        return None if self.over else self._session

    @property
    def fields(self) -> dict[str, str]:
        """For its records in the log."""
        return {"session": self.id, "dialect": self.kind.name}

    # the socket comes and goes

    @property
    def attached(self) -> bool:
        """A socket has it."""
        return not self._left.is_set()

    def open(self, *, resumed: bool = False) -> None:
        """A socket takes it, to be told what is said first; after a resumption, what may not have been delivered."""
        self._left.clear()
        self._replaced.clear()
        model = self._session.model
        info = SessionInfo(self.id, model.language, model.model, time.time, resumed, self.limits.longest_s)
        recent = time.monotonic() - RETELL_S
        again = [_Out(send) for at, send in self._sent if at >= recent] if resumed else []
        opening = [_Out(effect, passing=True) for effect in self._dialect.opening(info)]
        self._outbox = deque([*opening, *again, *self._outbox])
        self._sent.clear()
        self._unread = sum(out.size for out in self._outbox)
        self._heard = time.monotonic()
        self._pace.alive(self._heard)

    async def serve(self, socket: WebSocket) -> bool:
        """Until the hangup is written or the client is gone: true. False when another socket has taken over."""
        if self.over and not self.unheard:
            return True
        tasks = {asyncio.create_task(work) for work in (self._read(socket), self._write(socket), self._time())}
        replaced = asyncio.create_task(self._replaced.wait())
        try:
            done, _ = await asyncio.wait({*tasks, replaced}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & tasks:
                # not by result(), which raises it: then it would know this frame, which knows its task
                error = task.exception()
                if error is not None and not isinstance(error, WebSocketDisconnect | TimeoutError):
                    raise error  # those: the client is gone, or reads no more
            return replaced not in done
        finally:
            for task in (*tasks, replaced):
                task.cancel()
            await asyncio.gather(*tasks, replaced, return_exceptions=True)
            self._held_since = None
            self.let_go()

    def let_go(self) -> None:
        """No socket has it any more. What is late by the next one is dropped."""
        self._outbox = deque(out for out in self._outbox if not out.passing)
        self._left.set()

    @property
    def unheard(self) -> bool:
        """It is over, and its client has not been told so."""
        return self.over and any(isinstance(out.effect, Hangup) for out in self._outbox)

    def silent_s(self) -> float:
        """Since the client was last heard, unless it is we who do not listen."""
        return time.monotonic() - self._heard if self._held_since is None else 0.0

    async def take_over(self) -> None:
        """Let go of the socket that has it."""
        self._replaced.set()
        await self._left.wait()

    def farewell(self) -> list[Effect]:
        """What the socket is told that has lost it to another one."""
        return self._dialect.fail(Problem(Kind.SESSION_REPLACED))

    def drain(self) -> None:
        """The server is stopping: the session says its last words; its end closes the socket."""
        if not self.over:
            self._input.close()
            self._session.finish()

    def close(self, ended: Kind | None = None) -> None:
        """Nothing more is said, and nothing is kept."""
        if ended is not None:
            self.ended = ended
        self._finish()

    # what the tasks of a socket do

    async def _read(self, socket: WebSocket) -> None:
        """The client's messages, at the pace at which their audio is dealt with."""
        inbound = Inbound(socket.receive)
        try:
            while (message := await inbound.next())["type"] != "websocket.disconnect":
                self._heard = time.monotonic()
                self._sent.clear()
                self._take(message)
                if self._input.full and not self._ending and not await self._hold(inbound):
                    return
        finally:
            inbound.close()

    def _take(self, message: Message) -> None:
        """Do what a message asks for."""
        if self.over:
            return
        data = message.get("bytes")
        asked = self._dialect.receive(data if data is not None else message.get("text", ""))
        if not self._ending:
            self._obey(asked)

    async def _hold(self, inbound: Inbound) -> bool:
        """The inbox is full. A client ahead of real time is made to wait; one that is not, this device cannot serve.

        Return false when the client has gone meanwhile: then the stream must not wait for what it has sent. A session
        that can be resumed takes what was read ahead, because its client will not send it again.
        """
        slow = not self._pace.ahead(time.monotonic()) and not self._session.crowded
        if slow and not self._input.decoding:
            self._fail(Problem(Kind.QUEUE_OVERFLOW))
            return True
        self._held_since = time.monotonic()
        self._sooner.set()
        there = await inbound.wait(self._input.room())
        self._held_since = None
        if not there and self.limits.resume_s is not None:
            for message in inbound.rest():
                self._take(message)
        elif there:
            self._heard = time.monotonic()
            self._pace.alive(self._heard)
        return there

    async def _write(self, socket: WebSocket) -> None:
        """What waits, in order; returns after a hangup."""
        while True:
            while self._outbox:
                out = self._outbox[0]
                match out.effect:
                    case Send(text=text) as send:
                        async with asyncio.timeout(WRITE_S):
                            await socket.send_text(text)
                        if self.limits.resume_s is not None and not out.passing:
                            self._keep(send)
                        self._unread -= out.size
                    case Hangup(code=code, reason=reason):
                        async with asyncio.timeout(WRITE_S):
                            await socket.close(code, reason)
                        self._outbox.clear()
                        return
                self._outbox.popleft()
            self._work.clear()
            await self._work.wait()

    def _keep(self, send: Send) -> None:
        now = time.monotonic()
        self._sent.append((now, send))
        while self._sent[0][0] < now - RETELL_S:
            self._sent.popleft()

    async def _time(self) -> None:
        """Idle, too long, too fast, held too long, and the silence of a client that has stopped sending."""
        while True:
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                self._prolong(now)
            elif not self._ending:
                self._check(now)
            self._sooner.clear()
            try:
                async with asyncio.timeout(self._wait(time.monotonic())):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    def _check(self, now: float) -> None:
        if self._held_since is not None or self.finished:
            self._pace.alive(now)  # its silence is ours, or meant
        kind = self._pace.check(now)
        if kind is Kind.IDLE and self._busy:
            kind = None
        if self._held_since is not None and now - self._held_since >= STALL_S:
            kind = Kind.QUEUE_OVERFLOW
        if kind is not None:
            self._fail(Problem(kind))
        elif self._held_since is None and self._pace.flush_due(now):
            self._owed += 1
            self._session.commit()

    def _wait(self, now: float) -> float | None:
        """Seconds until something may become due; ``None`` for never."""
        if self._ending:
            return None if self._deadline is None else max(0.0, self._deadline - now)
        due = self._pace.wait(now)
        if due == 0:
            due = BUSY_S  # it has just been looked at, and was let pass
        held = None if self._held_since is None else max(0.0, self._held_since + STALL_S - now)
        return min((wait for wait in (due, held) if wait is not None), default=None)

    @property
    def _busy(self) -> bool:
        """A client that says nothing now waits for what it has said to be dealt with."""
        return self._owed > 0 or self._session.backlog_s > 0 or self._input.waiting

    @property
    def _ending(self) -> bool:
        """Its last words are said, or waited for: no message of the client counts any more."""
        return self.over or self._last_words is not None

    # commands and events

    def _obey(self, asked: list[Command | Effect]) -> None:
        for index, one in enumerate(asked):
            if isinstance(one, Hangup) or (isinstance(one, Send) and isinstance(asked[-1], Hangup)):
                if any(isinstance(effect, Hangup) and effect.code != NORMAL for effect in asked[index:]):
                    self._refusals.add(self.kind.name, MESSAGE, self.id)
                self._end([effect for effect in asked[index:] if isinstance(effect, Send | Hangup)])
                return
            self._command(one)
            if self._ending:
                return

    def _command(self, command: Command | Effect) -> None:
        now = time.monotonic()
        match command:
            case Hear(data=data):
                self._hear(data, now)
            case Commit() if not self.finished:
                self._owed += 1
                self._pace.alive(now)
                self._input.flush()
                self._session.commit()
            case Configure(changes=changes) if not self.finished:
                self._session.configure(changes)
            case Finish() if not self.finished:
                self.finished = True
                self._input.finish()
            case KeepAlive():
                self._pace.alive(now)
                self._sooner.set()
            case Send() | Hangup():
                self._do([command])

    def _hear(self, data: bytes, now: float) -> None:
        if not self.finished:
            if self._input.decoding:
                self._pace.alive(now)
            self._input.push(data)

    def _audio(self, data: bytes) -> None:
        """Audio in the format of the session's options."""
        if self._ending:
            return
        now = time.monotonic()
        seconds = audio_bytes(data) / self._session.options.audio.bytes_per_second
        if self._pace.audio(seconds, now):
            self._sooner.set()
        if not self.lease.spend(seconds):
            self._fail(Problem(self.lease.problem or Kind.QUOTA_EXCEEDED))
            return
        self._session.push(data)
        kind = self._pace.check(now)
        if kind is not None:
            self._fail(Problem(kind))

    def _told(self, event: AnyEvent) -> None:
        """An event of the session; called by the pool."""
        if self.over:
            return
        partial = isinstance(event, Partial)
        if partial and (not self.attached or len(self._outbox) >= PARTIALS):
            return
        if isinstance(event, Closed):
            if self._last_words is not None:
                self._conclude()
                return
            if event.problem is not None:
                self._refusals.add(self.kind.name, event.problem, self.id)
            self._do(self._dialect.emit(event))
            self._finish()
            return
        if isinstance(event, Committed) and self._owed:
            self._owed -= 1
        self._do(self._dialect.emit(event), passing=partial)
        if self._unread > OUTBOX_BYTES:
            self._fail(Problem(Kind.CLIENT_TOO_SLOW))

    def _fail(self, problem: Problem) -> None:
        self._refusals.add(self.kind.name, problem, self.id)
        if problem.kind is Kind.TOO_LONG:
            self.ended = Kind.SESSION_EXPIRED
        self._end(problem)

    def _end(self, words: Problem | list[Effect]) -> None:
        """With these words, after what was heard."""
        self._last_words = words
        if isinstance(words, Problem) and words.kind in AT_ONCE:
            self._conclude()
            return
        self._deadline = time.monotonic() + LAST_WORDS_S
        self._left_s = self._session.backlog_s
        self._sooner.set()
        self._session.drain()

    def _prolong(self, now: float) -> None:
        """What was heard is still being dealt with, or it is not: then that is all."""
        left_s, self._left_s = self._left_s, self._session.backlog_s
        if self._left_s < left_s:
            self._deadline = now + LAST_WORDS_S
        else:
            self._conclude()

    def _conclude(self) -> None:
        self._deadline = None
        words = self._last_words or []
        self._do(self._dialect.fail(words) if isinstance(words, Problem) else words)
        self._finish()

    def _do(self, effects: list[Effect], *, passing: bool = False) -> None:
        for effect in effects:
            if self.over:
                return
            out = _Out(effect, passing)
            self._outbox.append(out)
            self._unread += out.size
            if isinstance(effect, Hangup):
                self._finish()
        self._work.set()

    def _finish(self) -> None:
        """Nothing more is said; what waits may still be written."""
        self.over = True
        self._input.close()
        self._session.close()
        self.lease.release()
