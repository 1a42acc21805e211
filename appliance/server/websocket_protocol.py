"""The WebSocket protocol: uvicorn's on ``websockets``, with bounds on what a client can make the event loop do."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from appliance.server.sockets import Sockets
from appliance.server.turns import TURN_BYTES

FRAGMENTS = 1024
"""Frames of one message: a message of 8 MiB in fragments of 8 KiB, as libraries send them."""
CONTROL_PER_S = 10.0
"""Pings and pongs of a client. Libraries ping every 20 s, some applications every second ..."""
CONTROL_BURST = 128
"""... and all those that waited while the client was held back come at once: 90 s at most (``STALL_S``)."""
MESSAGES_IN_A_ROW = 16
"""Messages that the application gets before the other tasks have their turn."""
CLOSING_FRAMES = 256
"""Frames parsed after our close, to find the client's. In real time a client has one or two messages under way."""
CLOSING_BYTES = 1 << 16
"""A message of a client that has been sent a close; none is of use any more."""
HANG_UP_S = 1.0
"""For the client to answer our close (RFC 6455, 7.1.1); a local network takes milliseconds."""
FLUSH_S = 10.0
"""For the last results to be sent after that. Of a client that has sent nothing, nothing is waited for."""

READ = bytearray(TURN_BYTES)
"""What all sockets read into: it is copied before the next one reads."""


class WebSocketProtocol(WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """One WebSocket connection.

    The client's input is read once the application has accepted, and parsed in slices in turn with the other sockets'.
    It begins with ``upgrade``: uvicorn's own way of handing over the request, as text, has the library's bounds.
    """

    close_timeout = HANG_UP_S

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._turns = cast(Sockets, server_state).turns
        self._upgrade: Request | None = None
        self._pending = bytearray()
        self._parsing = False
        self._discarding = False
        self._failed = False
        self._messages = 0
        self._served = False
        self._closing_frames = 0
        self._pong: bytes | None = None
        self._control = float(CONTROL_BURST)
        self._control_at = self.loop.time()

    def upgrade(self, request: Request) -> None:
        """Begin with this request, which has been parsed: refuse it, or hand it to the application."""
        self._upgrade = request
        self.transport.pause_reading()
        self.conn.receive_data(b"GET / HTTP/1.1\r\n\r\n")  # stands for the request, which takes its place below
        self.handle_events()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(self._upgrade or event)

    # what the client sends

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(READ)

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(READ)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Keep it for this socket's turn; after our close it may not matter any more."""
        if self._discarding:
            return
        self._pending += data
        self._flow()

    def _flow(self) -> None:
        """Read when there is nothing to parse and the application has taken what was sent; parse when it has."""
        if self._discarding or self.disconnected:
            self._pending.clear()
            self.transport.resume_reading()
        elif self._ready and not self._pending:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
            if self._ready and not self._parsing:
                self._parsing = True
                self._turns.add(self._parse)

    @property
    def _ready(self) -> bool:
        """The application has accepted, and has taken the messages that were sent. After our close it takes none."""
        return self.handshake_complete and (self.close_sent or self.queue.empty())

    def _parse(self, size: int) -> bool:
        """Parse so many bytes; returns whether there are more that may be parsed now."""
        data = bytes(memoryview(self._pending)[:size])
        del self._pending[:size]
        if not self._discarding and not self.disconnected:
            super().data_received(data)
        if self._pending and not self._discarding and not self.disconnected and self._ready:
            return True
        self._parsing = False
        self._flow()
        return False

    def handle_events(self) -> None:
        if self.close_sent:
            self._closing_frames += len(self.conn.events)
            if self._closing_frames > CLOSING_FRAMES and not self.conn.close_rcvd:
                self.conn.events.clear()
                self._discard()
                return
        super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {FRAGMENTS} fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        self._served = True
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
            return
        try:
            self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")

    def handle_ping(self) -> None:
        """Answer now, or only the last one once the client reads again (RFC 6455, 5.5.3)."""
        pongs = self.conn.data_to_send()
        if not self._may_control() or self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))
        else:
            self._pong = pongs[-1] if pongs else self._pong

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def _may_control(self) -> bool:
        """Count a ping or pong; a client that sends too many is hung up on."""
        now = self.loop.time()
        self._control = min(CONTROL_BURST, self._control + (now - self._control_at) * CONTROL_PER_S) - 1
        self._control_at = now
        if self._control < 0:
            self._fail(CloseCode.POLICY_VIOLATION, f"at most {CONTROL_PER_S:.0f} pings per second are taken")
        return self._control >= 0

    async def receive(self) -> ASGIReceiveEvent:
        """The next message. After some in a row the other tasks have their turn first."""
        self._messages += 1
        if self.queue.empty():
            self._messages = 0
        elif self._messages >= MESSAGES_IN_A_ROW:
            self._messages = 0
            await asyncio.sleep(0)
        message = await self.queue.get()
        if self.queue.empty():
            self._flow()
        return message

    # what is sent to the client

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong is not None and not self.close_sent and not self.transport.is_closing():
            self.transport.write(self._pong)
        self._pong = None

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self._failed:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._flow()
        elif self.close_sent and self.conn.state is not State.CONNECTING:
            self.conn.max_message_size = CLOSING_BYTES
            self._hang_up_soon()

    # the end

    def shutdown(self) -> None:
        """The server is stopping. A connection whose end has begun is not sent a second close."""
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.transport.close()
        else:
            super().shutdown()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Send a close for what the client did wrong, if none was sent, and take nothing more of it."""
        if not self._discarding and not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()
        self._discard()

    def handle_parser_exception(self) -> None:
        """The client has broken the protocol: tell the application, and the client in a close."""
        output = self.conn.data_to_send()
        if not self.close_sent and self.conn.close_sent is not None:
            code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.transport.write(b"".join(output))
            self.close_sent = self._failed = True
        self._discard()

    def _discard(self) -> None:
        """Read and drop what comes, and hang up soon: a socket closed with input unread loses what was sent to it."""
        self._discarding = True
        self._flow()
        self._hang_up_soon()

    def _hang_up_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(HANG_UP_S, self._hang_up)

    def _hang_up(self) -> None:
        """Close; what has not been sent then is sent for a while longer to a client that was served."""
        if self._served:
            self.transport.close()
            self.close_timer = self.loop.call_later(FLUSH_S, self.transport.abort)
        else:
            self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done; a client that does not read the rest is not waited for."""
        super().on_task_complete(task)
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(FLUSH_S, self.transport.abort)
