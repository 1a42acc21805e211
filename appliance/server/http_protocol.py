"""The HTTP protocol: uvicorn's on ``h11``, with bounds on a request's size and on the time it takes to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request

from appliance.server.request_head import Requests
from appliance.server.sockets import Sockets
from appliance.server.websocket_protocol import WebSocketProtocol

REQUEST_S = 10.0
"""From the connection, or from the answer before, to a complete request: a browser needs milliseconds."""
HANG_UP_S = 1.0
"""After a request that is refused, for its client to read the answer while the rest of the request is dropped."""
TLS_WAITING_BYTES = 1 << 15
"""Encrypted bytes that wait while a client's input is not read. asyncio takes 256 KiB of each client."""


class Flow(FlowControl):
    """uvicorn's flow control, where reading goes on only when nothing that was read before waits to be parsed."""

    def __init__(self, transport: asyncio.Transport, resume: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resume = resume

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._resume()


class HttpProtocol(H11Protocol):
    """One HTTP connection, until it is closed or becomes a WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: Requests = Requests()
        self._turns = cast(Sockets, server_state).turns
        self._deadline: asyncio.TimerHandle | None = None
        self._pending = bytearray()
        self._parsing = False
        self._discarding = False
        self._upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self._resume)
        limit = getattr(transport, "set_read_buffer_limits", None)  # that of a TLS connection has it
        if limit is not None:
            limit(TLS_WAITING_BYTES)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    # the deadline

    def _watch(self) -> None:
        """Begin the deadline when the client owes a request, or the rest of one that has been answered; else end it."""
        answered = self.cycle is None or self.cycle.response_complete
        if self._upgraded or not answered or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._in_time()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self._late)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        """The request has not come. Nothing is due to this client, or it does not read it."""
        self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    # what the client sends

    def data_received(self, data: bytes) -> None:
        """Parse it; in slices, in turn with the other sockets, when it may be hundreds of chunks of a body."""
        if self._discarding:
            return
        if not self._chunked and not self._pending:
            self._feed(data)
            return
        self._pending += data
        self._resume()

    def _resume(self) -> None:
        """Go on with what was read, or else read on."""
        if not self._pending:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if not self._parsing and not self.flow.read_paused:
            self._parsing = True
            self._turns.add(self._parse)

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def _parse(self, size: int) -> bool:
        """Parse so many bytes; returns whether there are more."""
        data = bytes(memoryview(self._pending)[:size])
        del self._pending[:size]
        if self.transport.is_closing() or self._discarding or self._upgraded:
            self._pending.clear()
        else:
            self._feed(data)
        self._parsing = bool(self._pending) and not self.flow.read_paused
        if not self._pending and not self.flow.read_paused and not self._upgraded:
            self.transport.resume_reading()
        return self._parsing

    @property
    def _chunked(self) -> bool:
        """The body that comes now is in chunks."""
        return self.conn.their_state is h11.SEND_BODY and any(name == b"transfer-encoding" for name, _ in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not served, with the status that fits, and hang up."""
        status, text = HTTPStatus.BAD_REQUEST, msg
        if self.conn.refusal is not None:
            status, text = HTTPStatus(self.conn.refusal.error_status_hint), str(self.conn.refusal)
        body = text.encode()
        headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))]
        answer = h11.Response(
            status_code=status, headers=[*headers, ("connection", "close")], reason=status.phrase.encode()
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._discarding = True
        self.transport.resume_reading()
        self.loop.call_later(HANG_UP_S, self.transport.close)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket protocol."""
        lengths = [value for name, value in self.headers if name == b"content-length"]
        if any(length != b"0" for length in lengths) or any(name == b"transfer-encoding" for name, _ in self.headers):
            self.send_400_response("a request for a WebSocket has no body")
            return
        self._upgraded = True
        self._in_time()
        self.connections.discard(self)
        headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers)
        version = f"HTTP/{event.http_version.decode()}"
        protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.upgrade(Request(event.target.decode("ascii"), headers, event.method.decode("ascii"), version))
        early = self.conn.trailing_data[0]
        if early:
            protocol.data_received(early)
