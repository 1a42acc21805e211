"""Accounts that were admitted from an address recently. The clock is passed in, in seconds."""

from __future__ import annotations

from collections import OrderedDict

RECENT_S = 86_400.0
"""How long an admission counts: a day covers clients that connect once each morning."""
ENTRIES = 4096
"""Pairs of address and account that are kept, as many as addresses with failures; the oldest pair goes first."""


class RecentAccounts:
    """Which accounts were admitted from which address during the last ``RECENT_S`` seconds."""

    def __init__(self) -> None:
        self._admitted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def remember(self, address: str, account: str, now: float) -> None:
        """Record that the account with the id ``account`` was admitted from ``address``."""
        pair = (address, account)
        self._admitted[pair] = now
        self._admitted.move_to_end(pair)
        if len(self._admitted) > ENTRIES:
            self._admitted.popitem(last=False)

    def includes(self, address: str, account: str, now: float) -> bool:
        """Return whether the account was admitted from ``address`` recently; a clock set back ends the period."""
        admitted = self._admitted.get((address, account))
        return admitted is not None and 0 <= now - admitted < RECENT_S
