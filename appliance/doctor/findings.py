"""A finding: some facts, a verdict, and what to do. Checks make them, and one that fails is a finding too."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

Subject = TypeVar("Subject")


class Verdict(enum.StrEnum):
    """BAD keeps the box from its work, or soon will; a NOTE is worth knowing."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(Struct, frozen=True, kw_only=True):
    """``facts`` are sentences or figures with their units; ``advice`` is what a person can do, empty when nothing."""

    title: str
    facts: tuple[str, ...]
    verdict: Verdict = Verdict.GOOD
    advice: str = ""


def finding(
    title: str, facts: Sequence[str], *, bad: Sequence[str] = (), notes: Sequence[str] = (), advice: str = ""
) -> Finding:
    """Its verdict follows from what is wrong or worth knowing, each a sentence; those come after the facts."""
    verdict = Verdict.BAD if bad else Verdict.NOTE if notes else Verdict.GOOD
    return Finding(title=title, facts=(*facts, *bad, *notes), verdict=verdict, advice=advice)


def examine(subject: Subject, checks: Mapping[str, Callable[[Subject], Finding]]) -> list[Finding]:
    """Every check's finding, in the table's order; of one that raises, the reason why it cannot be told."""
    return [_one(title, check, subject) for title, check in checks.items()]


def worst(findings: Sequence[Finding]) -> Verdict:
    """The gravest verdict; good when there is nothing."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.GOOD)


def _one(title: str, check: Callable[[Subject], Finding], subject: Subject) -> Finding:
    try:
        return check(subject)
    except Exception as error:
        reason = str(error) or type(error).__name__
        return Finding(title=title, facts=(f"could not be told: {reason}",), verdict=Verdict.NOTE)
