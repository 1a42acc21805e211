"""Tokens that stand for a key for a while, so that a browser need not hold the key. In memory only."""

from __future__ import annotations

import hashlib
import heapq
import secrets

from msgspec import Struct

from appliance.accounts.account import Account

MOST = 10_000
"""Tokens kept: some megabytes. One more, and the one that expires first goes."""
REMEMBERED_S = 3600.0
"""After its end a token is still known, so that it is told from a key that was never seen."""
RANDOM = 24
"""Bytes of a secret: 192 bits, 32 url-safe characters."""


class Token(Struct, kw_only=True):
    """What a token allows, and to whom."""

    account: Account
    scope: str
    expires: float
    single_use: bool
    longest_s: float | None
    used: bool = False

    def why_not(self, scope: str, now: float) -> str:
        """Why it is not good for this scope; empty when it is."""
        if self.scope != scope:
            return "this token is for another API"
        if self.used:
            return "this token has been used"
        return "this token has expired" if now >= self.expires else ""


class Tokens:
    """The tokens issued, by hash. The clock is passed in, in seconds.

    Looking up by hash needs no comparison in constant time: how long it takes tells at most something of the hash, and
    without this process's own secret nobody can choose or compute the hash of a guess.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._tokens: dict[bytes, Token] = {}
        self._ends: list[tuple[float, bytes]] = []

    def add(self, token: Token, now: float, prefix: str = "") -> str:
        """The text of a new token."""
        while self._ends and (len(self._ends) >= MOST or self._ends[0][0] + REMEMBERED_S <= now):
            del self._tokens[heapq.heappop(self._ends)[1]]
        text = prefix + secrets.token_urlsafe(RANDOM)
        digest = self._digest(text)
        self._tokens[digest] = token
        heapq.heappush(self._ends, (token.expires, digest))
        return text

    def find(self, text: str) -> Token | None:
        """A token that was issued here, good or not."""
        return self._tokens.get(self._digest(text))

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._secret, digest_size=16).digest()
