"""The routes: health, the microphones' feeds and the page for them, and every dialect at its own paths."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import structs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from appliance.accounts.gate import Accounts
from appliance.core.options import Endpointing, Limits
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects import DIALECTS
from appliance.dialects.base import Dialect, api_key
from appliance.scheduling.pool import Pool
from appliance.server import kiosk, readiness
from appliance.server.connection import Connection, address_of, hold_back
from appliance.server.cors import EndpointCors
from appliance.server.endpoints import Endpoints
from appliance.server.feed import Feed
from appliance.server.hosts import Hosts, KnownHosts
from appliance.server.lag import LagMeter
from appliance.server.metrics import Metrics, Sources
from appliance.server.origins import ANY, KnownOrigins, same_origin
from appliance.server.sessions import Sessions
from appliance.server.spool import SpoolRoom
from appliance.server.unserved import Unserved, upgrades

UPLOAD_BYTES = 256 << 20
FEEDS = "microphones"
"""What the metrics call the feeds, beside the dialects."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers by which a proxy says that it asks for somebody else (RFC 7239; RFC 9110, 7.6.3)."""


class Service:
    """What the routes need: the pool, the feeds, the lag, and who may come in."""

    def __init__(
        self,
        pool: Pool,
        accounts: Accounts,
        feeds: Mapping[str, Feed],
        lag: LagMeter,
        *,
        guarded: bool,
        endpointing: Endpointing,
        limits: Mapping[str, Limits] = MappingProxyType({}),
        upload_bytes: int = UPLOAD_BYTES,
        extra: Sequence[BaseRoute] = (),
        detail: Callable[[], Mapping[str, Any]] = dict,
        sources: Sources | None = None,
        room: SpoolRoom | None = None,
        hosts: Hosts | None = None,
        origins: Collection[str] = (ANY,),
        readers: Collection[str] = (),
    ) -> None:
        """``limits`` are the dialects' by name, where they are not their own; ``upload_bytes`` bounds one file.

        ``room`` bounds the files of all uploads together.

        ``detail`` is what the health page tells beside what the server knows itself, ``sources`` what the metrics do.
        ``hosts`` are the names of the device, ``origins`` those of the foreign pages that may use it, ``readers`` of
        those that may read the answers of the dialects' HTTP endpoints (CORS).
        """
        self.draining = False
        self.sessions = Sessions(pool, accounts)
        self._sources = sources or Sources()
        self.metrics = Metrics(pool, feeds, lag, self.sessions.refusals.counts, self._sources)
        self._pool = pool
        self._accounts = accounts
        self._feeds = feeds
        self._lag = lag
        self._guarded = guarded
        self._endpointing = endpointing
        self._limits = limits
        self._endpoints = Endpoints(pool, accounts, endpointing, limits, upload_bytes, self.sessions.refusals, room)
        self._extra = extra
        self._detail = detail
        self._hosts = hosts or Hosts()
        self._origins = origins
        self._readers = readers

    def app(self) -> Starlette:
        """The ASGI application."""
        routes: list[BaseRoute] = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Route("/v1/microphones", self._microphones),
            WebSocketRoute("/v1/microphones/{name}", self._microphone),
            *kiosk.routes(),
            *self._extra,
        ]
        routes += [WebSocketRoute(path, self._stream(dialect)) for dialect in DIALECTS for path in dialect.paths]
        endpoints = list(self._endpoints.routes(DIALECTS))
        routes += [*endpoints, *upgrades(routes)]
        middleware = [
            Middleware(KnownHosts, hosts=self._hosts),
            Middleware(KnownOrigins, allowed=self._origins),
            Middleware(SingleSlashes),
            Middleware(EndpointCors, routes=endpoints, origins=self._readers),
        ]
        app = Starlette(routes=routes, middleware=middleware)
        app.router.default = Unserved(routes)
        return app

    def configure(self, endpointing: Endpointing, limits: Mapping[str, Limits]) -> None:
        """For the sessions that begin from now on."""
        self._endpointing, self._limits = endpointing, limits
        self._endpoints.configure(endpointing, limits)

    def drain(self) -> None:
        """Every session says its last words."""
        self.draining = True
        self.sessions.drain()

    def close(self) -> None:
        """After the last words: the feeds end."""
        for feed in self._feeds.values():
            feed.close()

    def _stream(self, dialect: type[Dialect]) -> Callable[[WebSocket], Awaitable[None]]:
        async def serve(socket: WebSocket) -> None:
            limits = self._limits.get(dialect.name, dialect.limits)
            await Connection(socket, dialect, self.sessions, self._accounts, self._endpointing, limits).run()

        return serve

    async def _healthz(self, request: Request) -> Response:
        """Alive; how it is doing. Always 200 while the event loop turns. Details are for this machine, or for everybody
        where no key is needed."""
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
                **(self._detail() if self._local(request) else {}),
            }
        )

    async def _readyz(self, request: Request) -> Response:
        """200 when a client can open a stream now, else 503 with the reason; the state of each component beside it."""
        pool = self._pool
        components = {
            "models": readiness.models(pool),
            "microphones": readiness.microphones(
                [feed.describe() for feed in self._feeds.values()], detailed=self._local(request)
            ),
            "tls": readiness.tls(self._sources.expires()),
        }
        ready, reason = readiness.overall(components, draining=self.draining)
        body: dict[str, Any] = {
            "ready": ready,
            "components": msgspec.to_builtins(components),
            "models": [structs.asdict(model) for model in pool.models.values()],
            "broken": pool.broken,
        }
        return JSONResponse(body if ready else {**body, "reason": reason}, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        """How often words come tells when somebody speaks, so the network needs a key."""
        refusal = None if self._local(request) else await self._barred(request)
        return refusal or await self.metrics.page(request)

    def _local(self, request: Request) -> bool:
        """Asked from this machine and not by a proxy on it, or of a device that asks for no key."""
        proxied = any(name in request.headers for name in FORWARDED)
        return not self._guarded or (is_loopback(address_of(request)) and not proxied)

    async def _microphones(self, request: Request) -> Response:
        refusal = await self._barred(request) or self._may_not_listen(request)
        if refusal is not None:
            return refusal
        return JSONResponse({"microphones": [structs.asdict(feed.describe()) for feed in self._feeds.values()]})

    async def _microphone(self, socket: WebSocket) -> None:
        refusal = await self._barred(socket) or self._may_not_listen(socket)
        feed = self._feeds.get(socket.path_params["name"])
        if refusal is None and feed is None:
            names = ", ".join(self._feeds) or "none"
            refusal = JSONResponse({"error": f"there is no such microphone; there are: {names}"}, 404)
        if refusal is not None or feed is None:
            await socket.send_denial_response(refusal or Response(status_code=404))
            return
        account = socket.state.account if self._guarded else None
        await feed.serve(socket, lambda: account is None or self._accounts.good(account, microphones=True))

    def _may_not_listen(self, request: HTTPConnection) -> Response | None:
        """Return the refusal of a key without the right to listen to microphones. ``_barred`` has let the key in."""
        if not self._guarded or request.state.account.microphones:
            return None
        key = request.state.account.id
        reason = (
            f"API key {key} may not listen to microphones; use a key that may, "
            f"or run: appliance keys set {key} --microphones"
        )
        self.sessions.refusals.add(FEEDS, Problem(Kind.NOT_ALLOWED, reason))
        return JSONResponse({"error": reason}, 403)

    async def _barred(self, request: HTTPConnection) -> Response | None:
        """Refuse the microphones to pages of other origins, and to clients without a key where one is needed.

        The account of the key is kept with the request.
        """
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if origin and not same_origin(origin, host):
            return JSONResponse({"error": "a page of another origin may not listen"}, 403)
        if self._guarded:
            key = api_key(request.headers.get("authorization", "")) or request.query_params.get("key")
            try:
                request.state.account = self._accounts.check((key,) if key else (), address_of(request))
            except Refused as refused:
                self.sessions.refusals.add(FEEDS, refused.problem)
                await hold_back(self._accounts, refused.problem, address_of(request))
                status = 429 if refused.problem.kind is Kind.RATE_LIMITED else 401
                return JSONResponse({"error": refused.problem.message}, status)
        return None


def is_loopback(address: str) -> bool:
    """Whether it is of this machine itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class SingleSlashes:
    """A base URL that ends in a slash gives paths with two; they mean the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" in scope.get("path", ""):
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        await self._app(scope, receive, send)
