"""Answers to requests that fit no route: which paths there are, and what a proxy in between may have done wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

SHOWN = 200
"""Characters of a request's path that an answer repeats."""
SEGMENTS = 8
"""Parts at the end of a path that are compared with the paths of the routes: the longest one has five."""
PROXIES = "docs/proxies.md"


class Unserved:
    """ASGI application for what no route serves: 404 with the paths that there are, also before a WebSocket opens."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route | WebSocketRoute)]
        self._sockets = _paths(route for route in self._routes if isinstance(route, WebSocketRoute))
        self._http = _paths(
            route for route in self._routes if isinstance(route, Route) and route.path not in self._sockets
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = JSONResponse(self._body(scope["path"]), 404)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await refusal(scope, receive, send)

    def _body(self, path: str) -> dict[str, object]:
        shown, meant = path[:SHOWN], self._meant(path)
        advice = "use one of the paths listed here"
        if meant:
            advice = f"use {meant}"
            if path.rstrip("/") != path:
                advice += " without a slash at the end"
            if not path.startswith(meant.partition("{")[0]):
                advice += f"; a proxy that serves the device below a path has to remove that path: {PROXIES}"
        return {"error": f"path {shown!r} is not served; {advice}", "websocket": self._sockets, "http": self._http}

    def _meant(self, path: str) -> str:
        """Return the path of the route that the end of this path fits, empty when it fits none."""
        parts = path.rstrip("/").rsplit("/", SEGMENTS)[1:]
        for start in range(len(parts)):
            end = "/" + "/".join(parts[start:])
            for route in self._routes:
                if route.path != "/" and route.path_regex.fullmatch(end):
                    return route.path
        return ""


def upgrades(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    """Give a route for each WebSocket's path that answers a plain GET with 426 (RFC 9110, 15.5.22)."""
    for path in _paths(route for route in routes if isinstance(route, WebSocketRoute)):
        yield Route(path, _upgrade_required, methods=["GET"])


async def _upgrade_required(request: Request) -> Response:
    text = (
        f"path {request.url.path[:SHOWN]!r} is a WebSocket and the request has no 'Upgrade: websocket'; "
        f"connect with ws:// or wss://; a proxy in between has to pass on Upgrade and Connection: {PROXIES}"
    )
    return JSONResponse({"error": text}, 426, {"Upgrade": "websocket", "Connection": "Upgrade"})


def _paths(routes: Iterator[Route | WebSocketRoute]) -> list[str]:
    return sorted({route.path for route in routes})
