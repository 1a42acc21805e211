"""Processor time and memory of a process and everything below it, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from msgspec import Struct

TICK = os.sysconf("SC_CLK_TCK")


class Usage(Struct, frozen=True):
    """``cpu_s`` includes children that have ended; ``pss_mib`` counts shared pages in shares."""

    cpu_s: float
    pss_mib: float
    processes: int
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Of ``pid`` and all its descendants, now."""
    children: dict[int, list[int]] = {}
    stats: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                stats[int(entry.name)] = fields
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    family, todo = [], [pid]
    while todo:
        member = todo.pop()
        family.append(member)
        todo += children.get(member, [])
    cpu = pss = threads = descriptors = 0.0
    for member in family:
        with contextlib.suppress(OSError, KeyError):
            fields = stats[member]
            cpu += sum(map(int, fields[11:15])) / TICK  # utime, stime, and those of children waited for
            threads += int(fields[17])
            descriptors += len(os.listdir(f"/proc/{member}/fd"))
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1]) / 1024
    return Usage(cpu, pss, len(family), int(threads), int(descriptors))
