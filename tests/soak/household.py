"""Memory, threads and descriptors of the daemon's processes, by their parts."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from msgspec import Struct

READER, TEMPLATE = b"appliance.capture.reader", b"appliance.scheduling.template"

OWN = re.compile(r"^(Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB$", re.MULTILINE)
YOUNG_S = 30.0
"""A process so young is still warming up: a worker gains 22 MiB in its first 15 s, 0.4 in the next, and
0.3 in the five minutes after that."""


class Share(Struct, frozen=True):
    """What the processes of one part have."""

    pids: tuple[int, ...]
    memory_mib: float
    """Of their own, also what is swapped out; pages that forks share are counted in shares. Without files, of which
    what counts as ours depends on who else on the machine has them open."""
    threads: int
    descriptors: int


Sample = tuple[float, dict[str, Share]]
"""Seconds since the beginning, and the parts there were."""
Life = tuple[list[float], list[float]]
"""Times and values while a part was made up of the same processes."""


def household(daemon: int) -> dict[str, Share]:
    """Of ``daemon``, ``engine`` and ``reader``, those that there are now.

    The engine is the template and its workers together: a page that a worker writes to becomes its own, which makes
    the template's share of it larger too although nothing has been asked for.
    A part of which a process ended in the meantime is left out.
    """
    children = _children()
    parts: dict[str, list[int]] = {"daemon": [daemon], "engine": [], "reader": []}
    for child in children.get(daemon, []):
        command = _command(child)
        if READER in command:
            parts["reader"].append(child)
        elif TEMPLATE in command:
            parts["engine"] += [child, *children.get(child, [])]
    shares = {}
    for part, pids in parts.items():
        with contextlib.suppress(OSError):
            if pids:
                shares[part] = _share(tuple(sorted(pids)))
    return shares


def settled(samples: list[Sample], part: str, figure: str, after_s: float) -> list[Life]:
    """The part's lives with one of its figures, later than ``after_s`` and without each life's own beginning."""
    born: dict[tuple[int, ...], float] = {}
    lives: dict[tuple[int, ...], Life] = {}
    for at, parts in samples:
        if part in parts:
            share = parts[part]
            if at >= max(after_s, born.setdefault(share.pids, at) + YOUNG_S):
                times, values = lives.setdefault(share.pids, ([], []))
                times.append(at)
                values.append(float(getattr(share, figure)))
    return list(lives.values())


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    return children


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _share(pids: tuple[int, ...]) -> Share:
    kib = threads = descriptors = 0
    for pid in pids:
        lines = dict(OWN.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
        kib += sum(map(int, lines.values()))
        threads += len(os.listdir(f"/proc/{pid}/task"))
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    return Share(pids, kib / 1024, threads, descriptors)
