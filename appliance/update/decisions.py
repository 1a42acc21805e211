"""What to do, without doing it: whether a bundle is for this box, what it is called on the disk, what goes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from msgspec import Struct

from appliance.packs.disk import RESERVE, megabytes
from appliance.update.manifest import Manifest, Release

COMPILED = 1.25
"""Disk for an unpacked byte: the rest of the last block of each file, and bytecode. Measured: 1.17."""
NEW = ".new"
"""Ends the name of what is not complete."""


class Box(Struct, frozen=True, kw_only=True):
    """As much of this box as counts. ``running``: the program that updates would replace; ``free``: bytes.

    ``highest``: when the newest program was built that was ever kept here, in unix seconds.
    """

    running: Release
    python: str
    free: int
    highest: int = 0


def needed(manifest: Manifest) -> int:
    """Bytes on the disk while it is taken."""
    return int(manifest.unpacked * COMPILED) + RESERVE


def why_not(manifest: Manifest, box: Box, again: bool = False) -> str:
    """Why this box does not take it, the first reason that holds; empty when it does. ``again``: not for its age."""
    running = box.running
    reasons = {
        f"it is for {manifest.arch}, and this box is {running.arch}": manifest.arch != running.arch,
        f"it is for Python {', '.join(manifest.pythons)}, and this box runs it with {box.python}": (
            box.python not in manifest.pythons
        ),
        f"it is what runs already ({running.version})": manifest.built == running.built and not again,
        f"it is older ({day(manifest.built)}) than what runs ({day(running.built)}); --again takes it nevertheless": (
            manifest.built < running.built and not again
        ),
        f"it is older ({day(manifest.built)}) than the newest update that was kept here ({day(box.highest)}); "
        "--again takes it nevertheless": manifest.built < box.highest and not again,
        f"{megabytes(needed(manifest))} of disk are needed and {megabytes(box.free)} are free": (
            needed(manifest) > box.free
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def called(version: str, taken: Collection[str]) -> str:
    """The folder for it: the version, or with a number when somebody still runs from a folder of that name."""
    name, number = version, 1
    while name in taken:
        number += 1
        name = f"{version}~{number}"
    return name


def to_sweep(names: Iterable[str], used: Collection[str]) -> list[str]:
    """Of the folders there are, those that go: all but what is used."""
    return sorted(name for name in names if name not in used)


def day(built: int) -> str:
    """When that was, for people; a signed number may still be one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(built, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return f"{built} s"
