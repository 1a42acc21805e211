"""Listening sockets and the HTTP servers on them: uvicorn, as a daemon that drains by itself wants it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from asyncio import sslproto
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.applications import Starlette

from appliance.server.acceptor import Acceptor
from appliance.server.http_protocol import HttpProtocol
from appliance.server.sockets import Sockets
from appliance.server.websocket_protocol import WebSocketProtocol

DEAD_MS = 120_000
"""A peer that acknowledges nothing for so long is gone, whether it vanished or just never reads (TCP_USER_TIMEOUT)."""
PING_S = 20.0
"""Keeps that timer honest on idle connections. No answer is asked for in time: a pong can be stuck behind audio."""
SEND_BUFFER = 1 << 17
"""Bytes of results the kernel keeps for a client that does not read; the rest is bounded by us."""
BACKLOG = 512
TICK_S = 0.5
"""Between two looks at whether to end; also the resolution of the HTTP date header."""
GOODBYE_S = 5
"""For requests in progress, once a server is to end."""
TLS_BYTES = 18 << 10
"""Of a TLS connection's buffer: one record has at most 16 KiB and 256 bytes (RFC 8446, 5.2). asyncio takes 256 KiB."""

sslproto.SSLProtocol.max_size = TLS_BYTES  # asyncio has no other way to set it


class ListenError(Exception):
    """The address cannot be had; the message names it and the reason."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections notice dead peers. Raises ``ListenError``."""
    listening = None
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
        if listening is not None:
            listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from error
    return listening


class Server(uvicorn.Server):
    """One listening socket's server, without uvicorn's signal handling, and with fewer wake-ups when idle."""

    def __init__(
        self,
        app: Starlette,
        context: ssl.SSLContext | None,
        max_message_bytes: int,
        sockets: Sockets | None = None,
        proxies: Sequence[str] = (),
    ) -> None:
        """With TLS when there is a ``context`` for it.

        ``sockets`` are the bounds that it shares with other servers. ``proxies``: addresses and networks whose
        ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count.
        """
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            ws_max_size=max_message_bytes,
            ws_ping_interval=PING_S,
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GOODBYE_S,
        )
        config.load()
        config.ssl = context
        super().__init__(config)
        self.server_state = self._sockets = sockets or Sockets()
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on these sockets."""
        await self.lifespan.startup()
        self.servers = []
        self._acceptors = [Acceptor(each, self._protocol, self.config.ssl, self._sockets) for each in sockets or ()]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end what there is."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def _protocol(self) -> HttpProtocol:
        return HttpProtocol(self.config, self._sockets, self.lifespan.state)

    async def main_loop(self) -> None:
        while not self.should_exit and not await self.on_tick(0):  # noqa: ASYNC110 - a flag of uvicorn's, not an event
            await asyncio.sleep(TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


EXPECTED = frozenset(
    {
        "ASGI callable returned without completing handshake.",  # of every upgrade that gets an HTTP answer
        "Invalid HTTP request received.",  # the client is told what is wrong with it
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",  # with a traceback; the client gets close code 1007
    }
)
"""What uvicorn 0.54 logs of a client that is answered, once for each request."""


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether the record reports an error of this program, not something that any client can do."""
    return record.msg not in EXPECTED


logging.getLogger("uvicorn.error").addFilter(_is_news)
