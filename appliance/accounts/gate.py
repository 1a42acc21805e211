"""The gate: who is let in, for how long, and what is counted for whom. See ``docs/accounts.md``."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from appliance.accounts.account import Account
from appliance.accounts.attempts import Attempts
from appliance.accounts.disk import make_private
from appliance.accounts.keys import Key, Keys, KeysError, guessable
from appliance.accounts.recent import RecentAccounts
from appliance.accounts.tokens import Token, Tokens
from appliance.accounts.usage import Usage
from appliance.core.problems import Kind, Refused

__all__ = ["Account", "Accounts", "KeysError", "Lease"]

log = logging.getLogger(__name__)

CANDIDATES = 8
"""Keys looked at in one attempt. Clients put theirs in one or two places; more would be many guesses in one."""
LOOK_S = 1.0
"""While audio comes, the keys' file is looked at so often."""


class Lease:
    """Leave for one session. ``longest_s`` is how long it may last, where a token says so."""

    def __init__(self, accounts: Accounts, account: Account, longest_s: float | None, text: str) -> None:
        self.account = account
        self.text = text
        """The key or token that counted."""
        self.longest_s = longest_s
        self.problem: Kind | None = None
        """After ``spend`` said no: QUOTA_EXCEEDED, or BAD_KEY when the key was revoked or has expired."""
        self._accounts = accounts
        self._released = False

    def spend(self, seconds: float) -> bool:
        """Audio of this length has been heard; whether there may be more."""
        self.problem = self._accounts._spend(self.account, seconds)
        return self.problem is None

    def release(self) -> None:
        """The session has ended. A second time does nothing."""
        if not self._released:
            self._released = True
            self._accounts._release(self.account)


class _Guest(Struct, frozen=True):
    """Somebody whose key or token is good."""

    account: Account
    key: Key | None
    token: Token | None
    text: str


class Accounts:
    """Keys, tokens, usage and failed attempts together. ``clock`` gives unix seconds, ``ticks`` those that nobody sets.

    ``folder`` holds the files and is made when missing. In an ``open_house`` any key that is not empty is good. Raises
    ``KeysError`` when the keys cannot be read. Only ``save`` may be called from another thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        open_house: bool,
        clock: Callable[[], float],
        ticks: Callable[[], float] | None = None,
    ) -> None:
        try:
            make_private(folder)
        except OSError as error:
            problem = f"the folder of the keys, {folder}, cannot be made: {error.strerror}"
            if not open_house:
                raise KeysError(problem) from error
            log.warning("%s; no key is needed here, so it goes on without", problem)
        self._keys = Keys(folder)
        if not open_house and not self._keys.all():
            log.warning("nobody has a key yet: appliance keys create NAME")
        self._usage = Usage(folder)
        self._tokens = Tokens()
        self._attempts = Attempts()
        self._recent = RecentAccounts()
        self._open: Counter[str] = Counter()
        self._open_house = open_house
        self._clock = clock
        self._ticks = ticks or clock
        self._looked = clock()
        self._salt = secrets.token_bytes(32)

    def admit(
        self,
        keys: Sequence[str],
        scope: str,
        address: str,
        *,
        sessions: int | None = None,
        streaming: bool = True,
        make_room: Callable[[Account], bool] = lambda account: False,
    ) -> Lease:
        """Leave for a session. ``keys``: keys and tokens in the order in which they count; the first good one does.

        ``scope`` is the dialect's name, for which a token must have been issued; ``sessions`` is the dialect's own
        limit for one account; a whole file is no ``streaming``, and any plan has it. ``make_room`` may end a session of
        an account that has too many, and says whether it did.

        Raises ``Refused``, with the first that holds of RATE_LIMITED, NO_KEY, BAD_KEY, TERMS_NOT_ACCEPTED, NOT_ALLOWED,
        QUOTA_EXCEEDED, TOO_MANY_SESSIONS. A single-use token is used up only when none does.
        """
        guest = self._guest(keys, scope, address)
        account, key, token = guest.account, guest.key, guest.token
        if key and (trouble := key.trouble(self._usage.used(key.id), self._clock(), streaming=streaming)):
            raise Refused(trouble)
        limits = [limit for limit in (key.streams if key else None, sessions) if limit is not None]
        while limits and self._open[account.id] >= min(limits):
            if make_room(account):
                continue
            raise Refused(Kind.TOO_MANY_SESSIONS, f"{self._open[account.id]} are open")
        if token:
            token.used = token.single_use
        self._open[account.id] += 1
        return Lease(self, account, token.longest_s if token else None, guest.text)

    def check(self, keys: Sequence[str], address: str) -> Account:
        """Whose key this is, for what is no stream; tokens do not count. Raises ``Refused``: the first three above."""
        return self._guest(keys, None, address).account

    def good(self, account: Account, *, microphones: bool = False) -> bool:
        """Whether the key still counts of somebody whom ``check`` let in. The keys' file is looked at once a second.

        With ``microphones`` the key must also still have the right to listen to microphones.
        """
        if account.anonymous:
            return True
        now = self._clock()
        if not 0 <= now - self._looked < LOOK_S:
            self._refresh()
        key = self._keys.get(account.id)
        return key is not None and not key.expired(now) and (key.microphones or not microphones)

    def issue(
        self,
        account: Account,
        scope: str,
        *,
        lifetime_s: float,
        single_use: bool,
        longest_s: float | None = None,
        prefix: str = "",
    ) -> str:
        """A new token for the scope, good for ``lifetime_s`` seconds; ``longest_s`` is for the session it opens."""
        now = self._ticks()
        token = Token(
            account=account,
            scope=scope,
            expires=now + lifetime_s,
            single_use=single_use,
            longest_s=longest_s,
        )
        return self._tokens.add(token, now, prefix)

    def delay(self, address: str) -> float:
        """Seconds by which the answer to a failed attempt is to be held back."""
        return self._attempts.delay(address, self._clock())

    @contextmanager
    def waiting(self, address: str) -> Iterator[None]:
        """Hold back an answer. Beyond ten at a time only accounts admitted from ``address`` recently get in."""
        self._attempts.hold(address)
        try:
            yield
        finally:
            self._attempts.let_go(address)

    def save(self) -> None:
        """Write the usage if it has changed; a failure is logged. From any thread."""
        self._usage.save()

    def _guest(self, keys: Sequence[str], scope: str | None, address: str) -> _Guest:
        given = [text for text in keys if text][:CANDIDATES]
        if self._attempts.crowded(address):
            return self._regular(given, scope, address)
        if not given:
            raise Refused(Kind.NO_KEY)
        self._refresh()
        now, reasons = self._clock(), []
        for text in given:
            found = self._judge(text, scope, now)
            if isinstance(found, _Guest):
                self._recent.remember(address, found.account.id, now)
                return found
            reasons.append(found)
        self._attempts.failed(address, now)
        raise Refused(Kind.BAD_KEY, next(filter(None, reasons), ""))

    def _regular(self, given: Sequence[str], scope: str | None, address: str) -> _Guest:
        """Return who comes in although ``address`` is crowded: otherwise wrong keys would lock out good ones.

        These are accounts that were admitted from there recently, and tokens, which cannot be guessed. Wrong keys that
        an operator could have chosen use up ``GUESSES``, so that guessing is no faster here than without a crowd.
        Raises ``Refused``: RATE_LIMITED.
        """
        self._refresh()
        now = self._clock()
        for text in given:
            guess = guessable(text) and self._tokens.find(text) is None
            if guess and not self._attempts.may_guess(address, now):
                continue
            found = self._judge(text, scope, now)
            if isinstance(found, _Guest):
                if found.token or self._recent.includes(address, found.account.id, now):
                    self._recent.remember(address, found.account.id, now)
                    return found
            elif guess:
                self._attempts.guessed(address, now)
        raise Refused(Kind.RATE_LIMITED)

    def _judge(self, text: str, scope: str | None, now: float) -> _Guest | str:
        """Whose key or token this is, or why it is not good: nothing when it was never seen here."""
        token = self._tokens.find(text)
        key = self._keys.get(token.account.id) if token else self._keys.find(text)
        if token:
            if scope is None:
                return "a token is no key here"
            if why_not := token.why_not(scope, self._ticks()):
                return why_not
            if token.account.anonymous:
                return _Guest(token.account, None, token, text)
            if key is None:
                return "the key that this token was issued for has been revoked"
        if key is not None:
            account = Account(key.id, key.name, admin=key.admin, microphones=key.microphones)
            return "it has expired" if key.expired(now) else _Guest(account, key, token, text)
        if self._open_house:
            digest = hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._salt, digest_size=8)
            return _Guest(Account(f"a_{digest.hexdigest()}", "", True, microphones=True), None, None, text)
        return ""

    def _refresh(self) -> None:
        self._looked = self._clock()
        self._keys.refresh()

    def _spend(self, account: Account, seconds: float) -> Kind | None:
        if account.anonymous:
            return None
        good, used = self.good(account), self._usage.add(account.id, seconds)
        key = self._keys.get(account.id)
        if key is None or not good:
            return Kind.BAD_KEY
        return Kind.QUOTA_EXCEEDED if key.used_up(used) else None

    def _release(self, account: Account) -> None:
        self._open[account.id] -= 1
        if not self._open[account.id]:
            del self._open[account.id]
