"""A client's messages, read ahead while they cannot be taken, so that the client's leaving is noticed in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

AHEAD_BYTES = 4 << 20
"""Read ahead at most, as much as may wait to be written (``conversation.OUTBOX_BYTES``). What a client has sent beyond
that hides its close until there is room again; the operating system keeps some MiB for it, too."""
AHEAD_MESSAGES = 8192
"""Read ahead at most: 4 MiB of memory for the smallest messages, at some 500 bytes each."""

Message = MutableMapping[str, Any]
"""An ASGI event of a WebSocket."""


class Inbound:
    """The messages of one socket, in order. ``receive`` is the socket's; only one task may use an ``Inbound``."""

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._ahead: deque[Message] = deque()
        self._bytes = 0
        self._pending: asyncio.Future[Any] | None = None

    async def next(self) -> Message:
        """Return the next message; the last one is a ``websocket.disconnect``."""
        if self._ahead:
            return self._pop()
        if self._pending is None:
            return await self._receive()
        pending, self._pending = self._pending, None
        message: Message = await pending
        return message

    async def wait(self, room: Awaitable[None]) -> bool:
        """Read ahead until ``room`` is done. Return false when the client has gone before."""
        waiting: asyncio.Future[Any] = asyncio.ensure_future(room)
        try:
            while not waiting.done():
                if self._bytes >= AHEAD_BYTES or len(self._ahead) >= AHEAD_MESSAGES:
                    await waiting
                    return True
                if self._pending is None:
                    self._pending = asyncio.ensure_future(self._receive())
                await asyncio.wait({waiting, self._pending}, return_when=asyncio.FIRST_COMPLETED)
                if self._pending.done():
                    message, self._pending = self._pending.result(), None
                    if message["type"] == "websocket.disconnect":
                        return False
                    self._ahead.append(message)
                    self._bytes += _size(message)
            return True
        finally:
            waiting.cancel()

    def rest(self) -> Iterator[Message]:
        """Give the messages that were read ahead, each once."""
        while self._ahead:
            yield self._pop()

    def close(self) -> None:
        """Stop reading."""
        if self._pending is not None:
            self._pending.cancel()

    def _pop(self) -> Message:
        message = self._ahead.popleft()
        self._bytes -= _size(message)
        return message


def _size(message: Message) -> int:
    """Bytes, or characters of a text, that nearly all are of one byte."""
    return len(message.get("bytes") or message.get("text") or "")
