"""The live conversations: who may begin one, who may go on with one, and what is remembered of those that ended."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict

from appliance.accounts.gate import Account, Accounts
from appliance.core.problems import Kind, Refused
from appliance.dialects.base import Dialect, Opening
from appliance.scheduling.pool import Pool
from appliance.server.conversation import Conversation
from appliance.server.refusals import Refusals

log = logging.getLogger(__name__)

REMEMBERED = 1_000
"""Ended sessions whose fate can still be asked for."""


class Sessions:
    """All conversations. One without a socket lives for its dialect's ``resume_s``, in RAM only."""

    def __init__(self, pool: Pool, accounts: Accounts) -> None:
        self.refusals = Refusals()
        self._pool = pool
        self._accounts = accounts
        self._live: dict[str, Conversation] = {}
        self._waiting: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()
        self._ended: OrderedDict[str, Kind] = OrderedDict()

    def __len__(self) -> int:
        """Those that wait for their client too."""
        return len(self._live)

    def begin(self, kind: type[Dialect], opening: Opening, address: str) -> Conversation:
        """A new one. Raises ``Refused``; a token is not used up when the device has no room."""
        try:
            self._pool.check(opening.options)
        except Refused as refused:
            if refused.problem.kind is not Kind.TOO_MANY_STREAMS or not self._room_can_be_made(opening):
                raise
        lease = self._accounts.admit(
            opening.keys, kind.realm, address, sessions=opening.limits.sessions, make_room=self._give_way
        )
        try:
            self._make_room(opening)
            conversation = Conversation(kind, opening, lease, self._pool, self.refusals)
        except BaseException:
            lease.release()
            raise
        self._live[conversation.id] = conversation
        try:
            conversation.open()
        except BaseException:
            self._end(conversation)
            raise
        return conversation

    async def resume(self, kind: type[Dialect], opening: Opening, address: str) -> Conversation:
        """The one that is asked for, without a socket now. Raises ``Refused`` with what has become of it."""
        wanted = opening.resume or ""
        conversation = self._live.get(wanted)
        if conversation is None or conversation.kind is not kind or (conversation.over and not conversation.unheard):
            raise Refused(self._fate(wanted))
        self._same_client(conversation, opening.keys, address)
        if conversation.attached:
            patience = conversation.limits.takeover_s
            if patience is None or conversation.silent_s() < patience:
                raise Refused(Kind.SESSION_TAKEN)
            await conversation.take_over()
        if conversation.attached:
            raise Refused(Kind.SESSION_TAKEN)
        if conversation.over and not conversation.unheard:
            self._end(conversation)
            raise Refused(conversation.ended)
        timer = self._waiting.pop(wanted, None)
        if timer is not None:
            timer.cancel()
        conversation.open(resumed=True)
        return conversation

    def leave(self, conversation: Conversation) -> None:
        """Its socket is gone."""
        told = conversation.over and not conversation.unheard
        if told or conversation.finished or conversation.limits.resume_s is None:
            self._end(conversation)
            return
        who = (conversation.kind.name, conversation.id)
        log.info("%s session %s waits for its client", *who, extra=conversation.fields)
        loop = asyncio.get_running_loop()
        self._waiting[conversation.id] = loop.call_later(conversation.limits.resume_s, self._expire, conversation)

    def drain(self) -> None:
        """Every session says its last words; those without a socket end."""
        for conversation in list(self._live.values()):
            if conversation.attached:
                conversation.drain()
            else:
                self._end(conversation)

    def _room_can_be_made(self, opening: Opening) -> bool:
        """Return whether ending all sessions whose clients are away would admit one more.

        While admission is closed because the device falls behind, it would not: then those sessions are kept.
        """
        away = [stream.model for each in self._away() if (stream := each.stream) is not None]
        return bool(away) and self._pool.fits_without(opening.options, away)

    def _make_room(self, opening: Opening) -> None:
        """A session whose client is away gives way to one whose client is here. Called when that helps."""
        for conversation in self._away():
            if conversation.over:
                continue  # it holds no stream, and its client has yet to be told its end
            try:
                self._pool.check(opening.options)
            except Refused as refused:
                if refused.problem.kind is not Kind.TOO_MANY_STREAMS:
                    raise
                self._expire(conversation)
            else:
                return

    def _away(self) -> list[Conversation]:
        """The sessions whose clients are away, the one that has waited longest first."""
        return [self._live[id] for id in self._waiting]

    def _give_way(self, account: Account) -> bool:
        """One of this account's that has waited longest for its client ends; whether there was one."""
        away = next((one for one in self._away() if one.lease.account.id == account.id and not one.over), None)
        if away is not None:
            self._expire(away)
        return away is not None

    def _expire(self, conversation: Conversation) -> None:
        conversation.close(Kind.SESSION_EXPIRED)
        self._end(conversation)

    def _end(self, conversation: Conversation) -> None:
        conversation.close()
        timer = self._waiting.pop(conversation.id, None)
        if timer is not None:
            timer.cancel()
        if self._live.pop(conversation.id, None) is not None:
            log.info("%s session %s closed", conversation.kind.name, conversation.id, extra=conversation.fields)
            if conversation.limits.resume_s is not None:
                self._ended[conversation.id] = conversation.ended
                while len(self._ended) > REMEMBERED:
                    self._ended.popitem(last=False)

    def _fate(self, wanted: str) -> Kind:
        known = self._live.get(wanted)
        over = known is not None and known.over
        return known.ended if known is not None and over else self._ended.get(wanted, Kind.UNKNOWN_SESSION)

    def _same_client(self, conversation: Conversation, keys: tuple[str, ...], address: str) -> None:
        """The key or token it was opened with, or another key of the same account."""
        known = conversation.lease.text.encode(errors="surrogatepass")
        if any(hmac.compare_digest(key.encode(errors="surrogatepass"), known) for key in keys):
            return
        if self._accounts.check(keys, address).id != conversation.lease.account.id:
            raise Refused(Kind.BAD_KEY)
