"""Whom we turned away or cut off, and why: counted for the metrics, and written to the log with its fields."""

from __future__ import annotations

import logging
from collections import Counter

from appliance.core.problems import READABLE, Kind, Problem

log = logging.getLogger(__name__)

HANDSHAKE, MESSAGE = "handshake", "message"
"""What a dialect itself found wrong and answered in its own words: with the request, with a message."""
OURS = frozenset({Kind.NOT_READY, Kind.TOO_MANY_STREAMS})
"""Kinds whose details come from this device alone. All others may repeat what the client sent."""


class Refusals:
    """``counts``: (dialect, problem) -> clients; the problem is a ``Kind``'s value, HANDSHAKE or MESSAGE."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, dialect: str, problem: Problem | str, session: str = "") -> None:
        """One more. Without a ``session`` the client was refused before it had one.

        The log gets the kind only: a detail can hold words, options and terminal escapes of the client.
        """
        kind, said = (problem.kind.value, _said(problem)) if isinstance(problem, Problem) else (problem, problem)
        self.counts[dialect, kind] += 1
        fields = {"dialect": dialect, "problem": kind} | ({"session": session} if session else {})
        if session:
            log.info("%s session %s: %s", dialect, session, said, extra=fields)
        else:
            log.info("%s client refused: %s", dialect, said, extra=fields)


def _said(problem: Problem) -> str:
    return problem.message if problem.kind in OURS else READABLE[problem.kind]
