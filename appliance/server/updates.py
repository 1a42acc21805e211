"""``/v1/update``: an update sent over the network. It is put down for root to judge; here only its sender is judged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from appliance.accounts.gate import Accounts
from appliance.core.problems import Kind, Refused
from appliance.dialects.base import api_key
from appliance.server.connection import address_of, hold_back
from appliance.server.spool import SpoolRoom
from appliance.server.uploads import fill

PATH = "/v1/update"
LARGEST = 1 << 30
"""Bytes of a bundle; one has 70 MB."""
ASK = "update"
"""A file of this name in the service's runtime directory asks systemd to take what was sent."""
SPOOL = "update.bundle"
"""In the service's cache directory."""
STATUS = {
    Kind.NO_KEY: 401,
    Kind.BAD_KEY: 401,
    Kind.RATE_LIMITED: 429,
    Kind.MESSAGE_TOO_BIG: 413,
    Kind.IDLE: 408,
    Kind.NOT_READY: 507,
}
SAID = {
    413: f"an update has at most {LARGEST >> 20} MiB",
    507: "the disk has no room for it",
    408: "it did not come to its end",
}


class Answered(Exception):
    """A refusal, as it is told."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


class Updates:
    """``cache`` and ``runtime`` are the service's directories, ``None`` without systemd.

    ``told`` says how updates stand, with a ``step`` that is not empty while one is taken.
    """

    def __init__(
        self,
        accounts: Accounts,
        cache: Path | None,
        runtime: Path | None,
        told: Callable[[], Mapping[str, Any]],
        room: SpoolRoom | None = None,
    ) -> None:
        """``room`` bounds what is put into ``cache``."""
        self._room = room
        self._accounts = accounts
        self._cache = cache
        self._runtime = runtime
        self._told = told
        self._receiving = False

    def routes(self) -> list[BaseRoute]:
        """One for each method."""
        return [
            Route(PATH, self._answering(self._status), methods=["GET"]),
            Route(PATH, self._answering(self._take), methods=["PUT"]),
        ]

    def _answering(self, work: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            try:
                await self._admit(request)
                answer: Response = await work(request)
                return answer
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except Answered as refusal:
                return JSONResponse({"error": str(refusal)}, refusal.status)

        return serve

    async def _admit(self, request: Request) -> None:
        """Only a key that may; in the header, where no page of another origin can put it."""
        key = api_key(request.headers.get("authorization", ""))
        try:
            account = self._accounts.check((key,) if key else (), address_of(request))
        except Refused as refused:
            await hold_back(self._accounts, refused.problem, address_of(request))
            raise Answered(STATUS[refused.problem.kind], refused.problem.message) from refused
        if not account.admin:
            raise Answered(403, "this key may not update the box: appliance keys set ID --admin")

    async def _status(self, request: Request) -> Response:
        return JSONResponse({**self._told(), "pending": self._pending()})

    async def _take(self, request: Request) -> Response:
        if self._cache is None or self._runtime is None:
            raise Answered(503, "nobody here takes updates from the network: appliance update FILE")
        if self._receiving or self._pending() or self._told().get("step"):
            raise Answered(409, "another update is under way")
        size = request.headers.get("content-length", "")
        if size.isdigit() and int(size) > LARGEST:
            raise Answered(413, SAID[413])
        if size.isdigit() and int(size) > shutil.disk_usage(self._cache).free:
            raise Answered(507, SAID[507])
        self._receiving = True
        try:
            await self._receive(request, self._cache / SPOOL)
            (self._runtime / ASK).touch()
        except OSError as error:
            raise Answered(507, f"{SAID[507]}: {error.strerror}") from error
        finally:
            self._receiving = False
        return JSONResponse({"pending": True}, 202)

    async def _receive(self, request: Request, place: Path) -> None:
        new = place.with_suffix(".new")
        new.unlink(missing_ok=True)
        try:
            with FileIO(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as spool:
                await fill(spool, request.stream(), LARGEST, self._room)
            os.replace(new, place)
        except Refused as refused:
            status = STATUS[refused.problem.kind]
            raise Answered(status, SAID[status]) from refused
        finally:
            new.unlink(missing_ok=True)

    def _pending(self) -> bool:
        """Root has not yet begun with what was sent."""
        return self._runtime is not None and (self._runtime / ASK).exists()
