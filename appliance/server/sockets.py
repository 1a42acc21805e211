"""What the listening sockets of a device share: the number of connections, and the turns of the event loop."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

from uvicorn.server import ServerState

from appliance.server.turns import Turns

log = logging.getLogger(__name__)

CONNECTIONS = 512
"""At a time. An idle one takes some 20 KiB, with TLS 100 KiB, and 1 GB boards have 50 MB to spare for that."""
PER_ADDRESS = 256
"""Of those, from one address: a client computer has one connection per stream."""
QUIET_S = 60.0
"""Between two records in the log of connections that were refused."""
NETWORK6 = 64
"""Bits of an IPv6 address that count: one machine has all addresses of its network to choose from (RFC 4291, 2.5.4)."""


class Sockets(ServerState):
    """The state of all servers of the device.

    ``most`` connections at a time are taken, ``per_address`` of them from one address. ``proxies``: networks whose
    connections are those of many clients, and are not counted by address. ``clock`` gives seconds.
    """

    def __init__(
        self,
        most: int = CONNECTIONS,
        per_address: int = PER_ADDRESS,
        proxies: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.turns = Turns()
        self.refused = 0
        """Connections that were not taken, since the start."""
        self._most = most
        self._per_address = per_address
        self._proxies = [ipaddress.ip_network(each, strict=False) for each in proxies]
        self._open: Counter[str] = Counter()
        self._clock = clock
        self._told_at = -QUIET_S

    @property
    def open(self) -> int:
        """Connections now."""
        return self._open.total()

    def take(self, address: str) -> Callable[[], None] | None:
        """Count a connection from ``address``; returns what to call at its end. ``None`` when there is no room."""
        counted = self._counted(address)
        reason = ""
        if self.open >= self._most:
            reason = f"all {self._most} connections are in use (server.max_connections)"
        elif counted and self._open[counted] >= self._per_address:
            reason = (
                f"{counted} has {self._per_address} of {self._per_address} connections open "
                "(server.max_connections_per_address)"
            )
        if reason:
            self.refused += 1
            if self._clock() - self._told_at >= QUIET_S:
                self._told_at = self._clock()
                log.warning("a connection was refused, the %d. since the start: %s", self.refused, reason)
            return None
        self._open[counted] += 1
        return lambda: self._leave(counted)

    def _leave(self, counted: str) -> None:
        self._open[counted] -= 1
        if self._open[counted] <= 0:
            del self._open[counted]

    def _counted(self, address: str) -> str:
        """What connections are counted by: the address, or its network; empty for a proxy."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return address
        found = getattr(found, "ipv4_mapped", None) or found
        if any(found in network for network in self._proxies):
            return ""
        if found.version == 6 and not found.is_link_local and not found.is_loopback:
            return str(ipaddress.ip_network((found, NETWORK6), strict=False))
        return str(found)
