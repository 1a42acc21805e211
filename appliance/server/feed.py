"""The LAN feed of a microphone: its events as JSON to any number of subscribers, none of whom is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec import Struct, structs
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.core.events import AnyEvent, Partial
from appliance.dialects.native import encoded

UNREAD = 200
"""Messages a subscriber may be behind: half a minute of lively talk. Then it is dropped."""


class MicrophoneInfo(Struct, frozen=True, kw_only=True):
    """What is known about a microphone now. ``state``: absent, ready, busy, lost or muted."""

    name: str
    device: str
    state: str
    reason: str
    rate: int
    language: str
    overruns: int


class Feed:
    """One microphone's broadcast. ``describe`` tells what is known about it now."""

    def __init__(self, describe: Callable[[], MicrophoneInfo]) -> None:
        self.describe = describe
        self.dropped = 0
        self._subscribers: set[_Subscriber] = set()

    @property
    def subscribers(self) -> int:
        """How many there are now."""
        return len(self._subscribers)

    def publish(self, event: AnyEvent) -> None:
        """To all subscribers, at once and without waiting."""
        if self._subscribers:
            self._tell(encoded(event), optional=isinstance(event, Partial))

    def changed(self) -> None:
        """The microphone's state is another."""
        self._tell(self._state(), optional=False)

    async def serve(self, socket: WebSocket, admitted: Callable[[], bool] = lambda: True) -> None:
        """One subscriber, until it goes, is dropped for reading too slowly, or the feed ends.

        ``admitted`` is asked before each message whether this subscriber may still listen.
        """
        await socket.accept()
        subscriber = _Subscriber(admitted)
        subscriber.messages.append(self._state())
        subscriber.work.set()
        self._subscribers.add(subscriber)
        reader = asyncio.create_task(_until_gone(socket))
        writer = asyncio.create_task(subscriber.write(socket))
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._subscribers.discard(subscriber)
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    def close(self) -> None:
        """The server is stopping."""
        for subscriber in self._subscribers:
            subscriber.end(1001, "the server is shutting down")

    def _tell(self, text: str, *, optional: bool) -> None:
        for subscriber in list(self._subscribers):
            if len(subscriber.messages) < UNREAD:
                subscriber.messages.append(text)
                subscriber.work.set()
            elif not optional:
                self.dropped += 1
                self._subscribers.discard(subscriber)
                subscriber.messages.clear()
                subscriber.end(1013, "this subscriber reads too slowly")

    def _state(self) -> str:
        return msgspec.json.encode({"type": "microphone", **structs.asdict(self.describe())}).decode()


class _Subscriber:
    def __init__(self, admitted: Callable[[], bool]) -> None:
        self._admitted = admitted
        self.messages: deque[str] = deque()
        self.work = asyncio.Event()
        self._goodbye: tuple[int, str] | None = None

    def end(self, code: int, reason: str) -> None:
        self._goodbye = (code, reason)
        self.work.set()

    async def write(self, socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while self.messages or self._goodbye is None:
                while self.messages:
                    if not self._admitted():
                        await socket.close(1008, "the key is not good any more")
                        return
                    await socket.send_text(self.messages.popleft())
                self.work.clear()
                if self._goodbye is None:
                    await self.work.wait()
            await socket.close(*self._goodbye)


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
