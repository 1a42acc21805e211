"""The dialects' plain HTTP: tokens, and audio to be transcribed as a whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from msgspec import structs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.accounts.gate import Accounts
from appliance.core.options import Endpointing, Limits
from appliance.core.problems import Kind, Refused
from appliance.dialects import base
from appliance.dialects.base import Answer, Dialect, Endpoint, TokenWish, Transcript, Upload
from appliance.scheduling.pool import Pool
from appliance.server.connection import address_of, hold_back
from appliance.server.refusals import HANDSHAKE, Refusals
from appliance.server.spool import SpoolRoom
from appliance.server.uploads import transcribe

BODY_BYTES = 65_536
"""Of a request that is no upload."""
BODY_S = 10.0
"""For it to arrive."""
UPLOADS = 8
"""Files at a time: each takes room on the disk before it takes a stream."""
GONE_S = 1.0
"""Between two looks at whether the client of an upload is still there."""
INCOMPLETE_HEADER = "X-Audio-Incomplete"
"""Header of an answer to an upload that was cut off or is damaged; the value says what is missing. Our own."""

log = logging.getLogger(__name__)


class Endpoints:
    """Serves what dialects list in ``endpoints``."""

    def __init__(
        self,
        pool: Pool,
        accounts: Accounts,
        endpointing: Endpointing,
        limits: Mapping[str, Limits],
        upload_bytes: int,
        refusals: Refusals,
        room: SpoolRoom | None = None,
    ) -> None:
        """``room`` bounds the files that uploads lie in."""
        self._room = room
        self._pool = pool
        self._accounts = accounts
        self._endpointing = endpointing
        self._limits = limits
        self._upload_bytes = upload_bytes
        self._refusals = refusals
        self._uploads = 0

    def configure(self, endpointing: Endpointing, limits: Mapping[str, Limits]) -> None:
        """For the requests that come from now on."""
        self._endpointing, self._limits = endpointing, limits

    def routes(self, dialects: tuple[type[Dialect], ...]) -> Iterator[Route]:
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
            body = b"" if endpoint.upload else await _small(request.stream())
            asked = endpoint.read(_read(request, body, self._endpointing))
            match asked:
                case TokenWish():
                    return self._token(asked, address)
                case Upload():
                    return await self._transcript(dialect, asked, request, address)
                case Answer():
                    if asked.status >= 400:
                        self._refusals.add(dialect.name, HANDSHAKE)
                    return asked
        except Refused as refused:
            self._refusals.add(dialect.name, refused.problem)
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

    async def _transcript(self, dialect: type[Dialect], upload: Upload, request: Request, address: str) -> Answer:
        limits = self._limits.get(dialect.name, dialect.limits)
        lease = self._accounts.admit(upload.keys, dialect.realm, address, sessions=limits.sessions, streaming=False)
        self._uploads += 1
        try:
            if self._uploads > UPLOADS:
                raise Refused(Kind.TOO_MANY_STREAMS, f"{UPLOADS} files are being heard")
            check_envelope(request.headers)
            transcript = await self._heard(upload, request, lease.spend)
            answer = upload.answer(transcript)
            if transcript.shortfall:
                log.info("%s upload is incomplete: %s", dialect.name, transcript.shortfall)
                more = (INCOMPLETE_HEADER, transcript.shortfall)
                answer = structs.replace(answer, headers=(*answer.headers, more))
            return answer
        except Refused as refused:
            if refused.problem.kind is Kind.QUOTA_EXCEEDED and lease.problem is not None:
                raise Refused(lease.problem, refused.problem.detail) from refused
            raise
        finally:
            self._uploads -= 1
            lease.release()

    async def _heard(self, upload: Upload, request: Request, spend: Callable[[float], bool]) -> Transcript:
        """The transcript, unless the client goes before it is there."""
        body = _Body(request)
        work = asyncio.create_task(transcribe(upload, body, self._pool, self._upload_bytes, spend, self._room))
        try:
            while not (await asyncio.wait({work}, timeout=GONE_S))[0]:
                if body.complete and await request.is_disconnected():
                    raise ClientDisconnect
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class _Body:
    """The body's pieces; ``complete`` once there are no more, when only the client's leaving can be received."""

    def __init__(self, request: Request) -> None:
        self.complete = False
        self._pieces = request.stream()

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            self.complete = True
            raise


def check_envelope(headers: Mapping[str, str]) -> None:
    """Raise ``Refused`` for an upload that is wrapped: a form, or a compressed body."""
    media = headers.get("content-type", "").split(";")[0].strip().lower()
    if media.startswith("multipart/"):
        raise Refused(Kind.BAD_AUDIO, f"the body is {media}; send the file itself as the body (curl --data-binary)")
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Refused(Kind.BAD_AUDIO, "a Content-Encoding is not supported; send the file without compression")


def _read(request: Request, body: bytes, endpointing: Endpointing) -> base.Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return base.Request(request.url.path, headers, list(request.query_params.multi_items()), body, endpointing)


async def _small(body: AsyncIterator[bytes]) -> bytes:
    """A body that is no upload. Raises ``Refused`` for a longer one."""
    data = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in body:
                data += chunk
                if len(data) > BODY_BYTES:
                    raise Refused(Kind.MESSAGE_TOO_BIG, f"at most {BODY_BYTES} bytes")
    except TimeoutError as error:
        raise Refused(Kind.IDLE, f"{BODY_S:.0f} s") from error
    return data


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), answer.media)
