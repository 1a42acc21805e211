"""The web pages that may use a device without keys: its own, those of the browser's machine, and configured ones.

A browser lets any page open a WebSocket to any device, and send a POST to it. Where a key is needed, the page has to
have one. Where none is, a page that a person happens to open could take all streams.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.server.hosts import hostname

ANY = "*"
"""In the configuration: pages of all origins."""
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose answer a foreign page cannot read, and which take nothing of the device."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class KnownOrigins:
    """Middleware that refuses WebSockets and POST of foreign pages (403). ``allowed`` are origins, or ``*``."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in HARMLESS):
            headers = HTTPConnection(scope).headers
            origin = headers.get("origin", "")
            if origin and not self._knows(origin, headers.get("host", "")):
                text = "a page of another origin may not use a device without keys; see server.allowed_origins"
                await JSONResponse({"error": text}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _knows(self, origin: str, host: str) -> bool:
        """A page of this machine's own loopback may: its server could connect without a browser as well."""
        if ANY in self._allowed or origin in self._allowed or same_origin(origin, host):
            return True
        return hostname(authority(origin)) in LOOPBACK


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of this origin comes from the ``Host`` that it asks."""
    return bool(host) and authority(origin) == host.lower()


def authority(origin: str) -> str:
    """The host and port of an origin; empty when it has none, as ``null``."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
