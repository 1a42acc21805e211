"""Accepts connections on one listening socket. asyncio's own server has no bound on them and, when the process has no
descriptor left, writes thousands of lines a second to the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from appliance.server.sockets import Sockets

log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
"""For a TLS handshake; a Raspberry Pi Zero takes 0.2 s for its part."""
ACCEPTED = 64
"""Connections that are accepted in one turn of the event loop."""
PAUSE_S = 1.0
"""Without accepting, when the system has no descriptor or no memory for another connection."""
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connected(socket.socket):
    """A connection that says when it is closed, in whichever of asyncio's many ways that happens."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it, and tell once."""
        super().close()
        told, self.on_close = self.on_close, None
        if told is not None:
            told()


class Acceptor:
    """Serves connections to ``listening`` with protocols that ``protocol`` makes, with TLS when there is ``context``.

    Made, it accepts until ``close``. Needs a running event loop.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        sockets: Sockets,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._context = context
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._exhausted = False
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; connections in their TLS handshake end."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening.fileno())
        for task in self._beginning:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # this one has gone already
                continue
            except OSError as error:
                self._wait(error)
                return
            self._exhausted = False
            self._begin(Connected(fileno=accepted.detach()), str(address[0]))

    def _wait(self, error: OSError) -> None:
        """Accept nothing for a while: the kernel would report the same connection again at once."""
        if not self._exhausted:
            log.warning("no connection can be accepted, trying again every %.0f s: %s", PAUSE_S, error.strerror)
        self._exhausted = True
        self._loop.remove_reader(self._listening.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._listening.fileno(), self._accept)

    def _begin(self, client: Connected, address: str) -> None:
        client.setblocking(False)
        client.on_close = self._sockets.take(address)
        if client.on_close is None:
            if self._context is None:
                with contextlib.suppress(OSError):  # the client may have gone already
                    client.send(FULL)
            client.close()
            return
        task = self._loop.create_task(self._serve(client))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _serve(self, client: Connected) -> None:
        """Hand the connection to a protocol, after the TLS handshake. One that fails is the client's affair."""
        timeout = HANDSHAKE_S if self._context is not None else None
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, client, ssl=self._context, ssl_handshake_timeout=timeout
            )
        except OSError as error:  # ssl.SSLError and TimeoutError too
            log.debug("a connection did not come about: %s", error)
            client.close()
