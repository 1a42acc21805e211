"""One socket, from the upgrade request to the close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.accounts.gate import Accounts
from appliance.core.options import Endpointing, Limits
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import Dialect, Effect, Handshake, Hangup, Opening, Refusal, Send
from appliance.server.conversation import Conversation
from appliance.server.refusals import HANDSHAKE
from appliance.server.sessions import Sessions

log = logging.getLogger(__name__)

FAREWELL_S = 1.0
"""For a socket that has lost its session to hear so: it may be dead."""
FAILED_ATTEMPTS = frozenset({Kind.NO_KEY, Kind.BAD_KEY})
"""Answered ever more slowly to the same address."""


class Connection:
    """One client of one dialect."""

    def __init__(
        self,
        socket: WebSocket,
        dialect: type[Dialect],
        sessions: Sessions,
        accounts: Accounts,
        endpointing: Endpointing,
        limits: Limits,
    ) -> None:
        self._socket = socket
        self._kind = dialect
        self._sessions = sessions
        self._accounts = accounts
        self._endpointing = endpointing
        self._limits = limits

    async def run(self) -> None:
        """From the upgrade request to the closed socket."""
        with contextlib.suppress(WebSocketDisconnect):  # a client may be gone at any moment
            await self._run(self._handshake())

    async def _run(self, handshake: Handshake) -> None:
        opening = self._kind.open(handshake)
        if isinstance(opening, Refusal):
            self._sessions.refusals.add(self._kind.name, HANDSHAKE)
            await self._refuse(opening)
            return
        address = address_of(self._socket)
        try:
            if opening.resume is not None:
                conversation = await self._sessions.resume(self._kind, opening, address)
            else:
                conversation = self._sessions.begin(self._kind, opening, address)
        except Refused as refused:
            self._sessions.refusals.add(self._kind.name, refused.problem)
            await hold_back(self._accounts, refused.problem, address)
            await self._refuse(self._kind.refuse(refused.problem, handshake))
            return
        await self._converse(conversation, opening)

    async def _converse(self, conversation: Conversation, opening: Opening) -> None:
        kept = True
        try:
            header = [(opening.id_header.encode(), conversation.id.encode())] if opening.id_header else []
            await self._socket.accept(headers=header)
            log.info("%s session %s opened", self._kind.name, conversation.id, extra=conversation.fields)
            kept = await conversation.serve(self._socket)
        finally:
            conversation.let_go()
            if kept:
                self._sessions.leave(conversation)
        if not kept and not conversation.over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tell(conversation.farewell()), FAREWELL_S)

    async def _refuse(self, refusal: Refusal) -> None:
        if refusal.status:
            headers = {"content-type": "application/json", **dict(refusal.headers)}
            await self._socket.send_denial_response(Response(refusal.body, refusal.status, headers))
            return
        await self._socket.accept()
        await self._tell(refusal.effects)

    async def _tell(self, effects: tuple[Effect, ...] | list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(text=text):
                    await self._socket.send_text(text)
                case Hangup(code=code, reason=reason):
                    await self._socket.close(code, reason)

    def _handshake(self) -> Handshake:
        scope: dict[str, Any] = dict(self._socket.scope)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = list(self._socket.query_params.multi_items())
        return Handshake(scope["path"], headers, query, self._endpointing, self._limits)


def address_of(connection: HTTPConnection) -> str:
    """Whom failed attempts count against."""
    return connection.client.host if connection.client is not None else ""


async def hold_back(accounts: Accounts, problem: Problem, address: str) -> None:
    """Wait before a failed attempt is told so, ever longer for the same address."""
    if problem.kind in FAILED_ATTEMPTS:
        with accounts.waiting(address):
            await asyncio.sleep(accounts.delay(address))
