"""The names by which clients may ask for the device, checked on every route.

A web page whose name was made to point to the device (DNS rebinding) is of the same origin as the device, for its
browser. It still gives its own name in the ``Host`` header.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "localhost"
LOCAL = ("local", "lan", "home", "home.arpa", "internal", "localdomain", "intranet", "private", "corp")
"""Domains that only a local network has (RFC 6762, appendix G; RFC 8375): routers add theirs to a machine's name."""


class Hosts:
    """The names of the device. Every address counts as one: it is no name that could be made to point elsewhere.

    ``names`` are further ones, in lower case; ``*.`` in front of one stands for one more part. ``more`` gives those
    that can change, such as what mDNS has published.
    """

    def __init__(self, names: Iterable[str] = (), more: Callable[[], Iterable[str]] = tuple) -> None:
        self._names = frozenset(names)
        self._more = more

    def knows(self, host: str) -> bool:
        """Whether ``host``, a ``Host`` header with or without a port, is an address or a name of the device."""
        name = hostname(host)
        if is_address(name) or name == LOOPBACK:
            return True
        known = {*self._names, *self._more(), *own(socket.gethostname())}
        return bool(name) and (name in known or f"*.{name.partition('.')[2]}" in known)


class KnownHosts:
    """Middleware that refuses requests and WebSockets that ask for another name (403)."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            host = HTTPConnection(scope).headers.get("host", "")
            if not self._hosts.knows(host):
                text = "this device is not called so; ask by its address, or add the name to tls.names"
                await JSONResponse({"error": f"unknown host {host[:100]!r}: {text}"}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def own(host: str) -> set[str]:
    """The names of a machine whose host name is ``host``: that, its first part, and that in the local domains."""
    full = host.lower().rstrip(".")
    short = full.partition(".")[0]
    return {full, short, *(f"{short}.{domain}" for domain in LOCAL)} - {""}


def hostname(host: str) -> str:
    """The name or address in a ``Host`` header, in lower case, without port, brackets and final dot; empty for none."""
    name, _, rest = host.strip().lower().partition("]") if host.strip().startswith("[") else ("", "", "")
    if name:
        return name[1:] if not rest or rest.startswith(":") else ""
    return host.strip().lower().partition(":")[0].removesuffix(".")


def is_address(name: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
