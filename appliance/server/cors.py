"""CORS for the dialects' HTTP endpoints: which pages of other origins may read their answers (Fetch, 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

READABLE = ("Retry-After",)
"""Headers of an answer that a page may read beside those that every page may."""


class EndpointCors:
    """Middleware that answers preflights and allows answers to be read, for these routes and these origins only.

    Health, metrics, microphones and updates are not among the routes: no page of another origin may read those.
    Without origins nothing is answered or added. Keys come in headers, never in cookies: credentials are not allowed.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route], origins: Collection[str]) -> None:
        self._app = app
        self._routes = routes if origins else ()
        self._cors = CORSMiddleware(
            app,
            allow_origins=tuple(origins),
            allow_methods=sorted({method for route in routes for method in route.methods or ()}),
            allow_headers=("*",),
            expose_headers=READABLE,
            allow_private_network=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and any(route.matches(scope)[0] is not Match.NONE for route in self._routes)
        await (self._cors if concerned else self._app)(scope, receive, send)
