"""How the last update went, as it is kept and told."""

from __future__ import annotations

import contextlib
import enum
import os
from pathlib import Path

import msgspec
from msgspec import Struct, structs

FILE = "verdict"
LONGEST = 500
"""Characters of a reason that are kept: part of it may come from a bundle."""


class Outcome(enum.StrEnum):
    """The value is what is written and told."""

    TRYING = "trying"
    KEPT = "kept"
    BACK = "rolled back"
    REFUSED = "refused"
    DROPPED = "dropped"
    """Kept once, and later it did not start any more, or somebody wanted the shipped program."""


class Verdict(Struct, frozen=True, kw_only=True):
    """``at``: unix seconds, by a clock that may be wrong."""

    outcome: Outcome
    version: str = ""
    why: str = ""
    at: float = 0.0

    @property
    def line(self) -> str:
        """For people."""
        told = f"{self.version}: {self.outcome.value}" if self.version else self.outcome.value
        return f"{told}: {self.why}" if self.why else told


def load(base: Path) -> Verdict | None:
    """The last one; ``None`` when there is none that can be understood."""
    try:
        return msgspec.json.decode((base / FILE).read_bytes(), type=Verdict)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def save(base: Path, verdict: Verdict) -> None:
    """For everybody to read. What cannot be kept is told by whoever asked for the update, so that is no error."""
    new = base / f"{FILE}.new"
    line = "".join(sign if sign.isprintable() else " " for sign in verdict.why)[:LONGEST]
    with contextlib.suppress(OSError):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(structs.replace(verdict, why=line)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.replace(new, base / FILE)


def settled(verdict: Verdict | None, on_trial: str, current: str) -> Verdict | None:
    """What it comes to by now: who was ended in the middle of a trial could not write how that ended. Pure."""
    if verdict is None or verdict.outcome is not Outcome.TRYING or verdict.version == on_trial:
        return verdict
    if verdict.version == current:
        return structs.replace(verdict, outcome=Outcome.KEPT)
    return structs.replace(verdict, outcome=Outcome.BACK, why="the trial was broken off")
