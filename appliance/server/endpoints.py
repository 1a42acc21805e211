"""The dialects' plain HTTP: tokens, and audio to be transcribed as a whole."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from appliance.accounts.gate import Accounts
from appliance.core.options import Limits
from appliance.core.problems import Kind, Refused
from appliance.dialects import base
from appliance.dialects.base import Answer, Dialect, Endpoint, TokenWish, Upload
from appliance.scheduling.pool import Pool
from appliance.server.connection import address_of, hold_back
from appliance.server.uploads import transcribe

log = logging.getLogger(__name__)

BODY_BYTES = 65_536
"""Of a request that is no upload."""


class Endpoints:
    """Serves what dialects list in ``endpoints``."""

    def __init__(self, pool: Pool, accounts: Accounts, limits: Mapping[str, Limits], upload_bytes: int) -> None:
        self._pool = pool
        self._accounts = accounts
        self._limits = limits
        self._upload_bytes = upload_bytes

    def routes(self, dialects: tuple[type[Dialect], ...]) -> Iterator[BaseRoute]:
        """One for each."""
        for dialect in dialects:
            for endpoint in dialect.endpoints:
                yield Route(endpoint.path, self._serve(dialect, endpoint), methods=[endpoint.method])

    def _serve(self, dialect: type[Dialect], endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                return _response(await self._answer(dialect, endpoint, request))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it

        return serve

    async def _answer(self, dialect: type[Dialect], endpoint: Endpoint, request: Request) -> Answer:
        address = address_of(request)
        try:
            body = request.stream()
            asked = endpoint.read(_read(request, b"" if endpoint.upload else await _small(body)))
            match asked:
                case TokenWish():
                    return self._token(asked, address)
                case Upload():
                    return await self._transcript(dialect, asked, body, address)
                case Answer():
                    return asked
        except Refused as refused:
            await hold_back(self._accounts, refused.problem, address)
            return endpoint.refuse(refused.problem)

    def _token(self, wish: TokenWish, address: str) -> Answer:
        account = self._accounts.check(wish.keys, address)
        token = self._accounts.issue(
            account,
            wish.realm,
            lifetime_s=wish.lifetime_s,
            single_use=wish.single_use,
            longest_s=wish.longest_s,
            prefix=wish.prefix,
        )
        return wish.answer(token)

    async def _transcript(
        self, dialect: type[Dialect], upload: Upload, body: AsyncIterator[bytes], address: str
    ) -> Answer:
        limits = self._limits.get(dialect.name, dialect.limits)
        lease = self._accounts.admit(upload.keys, dialect.realm, address, sessions=limits.sessions, streaming=False)
        try:
            return upload.answer(await transcribe(upload, body, self._pool, self._upload_bytes, lease.spend))
        finally:
            lease.release()


def _read(request: Request, body: bytes) -> base.Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return base.Request(request.url.path, headers, list(request.query_params.multi_items()), body)


async def _small(body: AsyncIterator[bytes]) -> bytes:
    """A body that is no upload. Raises ``Refused`` for a longer one."""
    data = b""
    async for chunk in body:
        data += chunk
        if len(data) > BODY_BYTES:
            raise Refused(Kind.MESSAGE_TOO_BIG, f"at most {BODY_BYTES} bytes")
    return data


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), answer.media)
