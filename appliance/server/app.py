"""The routes: health, the microphones' feeds, and every dialect at its own paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from appliance.core.options import Endpointing
from appliance.core.problems import Kind, Refused
from appliance.dialects import DIALECTS
from appliance.dialects.base import Dialect
from appliance.scheduling.pool import Pool
from appliance.server.connection import Connection
from appliance.server.feed import Feed
from appliance.server.lag import LagMeter

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Service:
    """What the routes need: the pool, the feeds, the lag, and who may come in."""

    def __init__(
        self, pool: Pool, feeds: Mapping[str, Feed], lag: LagMeter, *, guarded: bool, endpointing: Endpointing
    ) -> None:
        self.connections: set[Connection] = set()
        self.draining = False
        self._pool = pool
        self._feeds = feeds
        self._lag = lag
        self._guarded = guarded
        self._endpointing = endpointing

    def app(self) -> Starlette:
        """The ASGI application."""
        routes: list[BaseRoute] = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/v1/microphones", self._microphones),
            WebSocketRoute("/v1/microphones/{name}", self._microphone),
        ]
        routes += [WebSocketRoute(path, self._stream(dialect)) for dialect in DIALECTS for path in dialect.paths]
        return Starlette(routes=routes)

    def drain(self) -> None:
        """Every session says its last words."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    def close(self) -> None:
        """After the last words: the feeds end."""
        for feed in self._feeds.values():
            feed.close()

    def _stream(self, dialect: type[Dialect]) -> Callable[[WebSocket], Awaitable[None]]:
        async def serve(socket: WebSocket) -> None:
            connection = Connection(socket, dialect, self._pool, _any_key, self._endpointing)
            self.connections.add(connection)
            try:
                await connection.run()
            finally:
                self.connections.discard(connection)

        return serve

    async def _healthz(self, request: Request) -> Response:
        """Alive; how it is doing. Always 200 while the event loop turns."""
        pool = self._pool
        return JSONResponse(
            {
                "status": "draining" if self.draining else "alive",
                "ready": pool.ready,
                "streams": pool.budget.open,
                "free": {name: pool.budget.free(model) for name, model in pool.models.items()},
                "workers": len(pool.workers),
                "crashes": pool.crashes,
                "hangs": pool.hangs,
                "lag_p99_ms": round(self._lag.percentile(0.99) * 1000, 2),
            }
        )

    async def _readyz(self, request: Request) -> Response:
        """200 once a model is loaded and warm, else 503 with the reason."""
        pool = self._pool
        ready = pool.ready and not self.draining
        body: dict[str, Any] = {
            "ready": ready,
            "models": [structs.asdict(model) for model in pool.models.values()],
            "broken": pool.broken,
        }
        if not ready:
            body["reason"] = "shutting down" if self.draining else "; ".join(pool.broken.values()) or "loading"
        return JSONResponse(body, 200 if ready else 503)

    async def _microphones(self, request: Request) -> Response:
        refusal = self._barred(request)
        if refusal is not None:
            return refusal
        return JSONResponse({"microphones": [structs.asdict(feed.describe()) for feed in self._feeds.values()]})

    async def _microphone(self, socket: WebSocket) -> None:
        refusal = self._barred(socket)
        feed = self._feeds.get(socket.path_params["name"])
        if refusal is None and feed is None:
            names = ", ".join(self._feeds) or "none"
            refusal = JSONResponse({"error": f"there is no such microphone; there are: {names}"}, 404)
        if refusal is not None or feed is None:
            await socket.send_denial_response(refusal or Response(status_code=404))
            return
        await feed.serve(socket)

    def _barred(self, request: HTTPConnection) -> Response | None:
        """A room's microphone is not for any web page that someone here happens to open, nor for the keyless.

        On loopback there is no key, so the name asked for must be loopback's own: a page whose name was made to point
        here (DNS rebinding) still gives its own.
        """
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if origin and _split(origin).netloc != host:
            return JSONResponse({"error": "a page of another origin may not listen"}, 403)
        if not self._guarded and _split(f"//{host}").hostname not in LOOPBACK:
            return JSONResponse({"error": f"ask for it by one of the names {', '.join(sorted(LOOPBACK))}"}, 403)
        if self._guarded:
            key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query_params.get("key")
            try:
                _any_key(key)
            except Refused as refused:
                return JSONResponse({"error": refused.problem.message}, 401)
        return None


def _split(url: str) -> SplitResult:
    """The parts of a URL; of one that is none, no parts."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _any_key(key: str | None) -> None:
    """The open house: a key is asked for, as every dialect does, but any will do."""
    if not key:
        raise Refused(Kind.NO_KEY)
