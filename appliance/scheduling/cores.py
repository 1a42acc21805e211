"""How much processor this process may use: the cores it may run on, and what its control groups leave of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path("/")
CGROUPS = "sys/fs/cgroup"
LEAST = 0.05
"""Cores. A quota of nothing is no reason to divide by it."""


def usable(root: Path = ROOT, affinity: int | None = None) -> float:
    """Cores, at least ``LEAST``: those of the affinity mask (or as given), or the quota of a group above us."""
    allowed = len(os.sched_getaffinity(0)) if affinity is None else affinity
    return max(LEAST, min([float(allowed), *_quotas(root)]))


def _quotas(root: Path) -> Iterator[float]:
    """Of every control group from ours up to the root, in cores; version 1, version 2, or both side by side."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                for mount in ("", "unified"):
                    yield from _upwards(root / CGROUPS / mount, path, _version_2)
            elif "cpu" in controllers.split(","):
                for mount in dict.fromkeys(("cpu", controllers)):
                    yield from _upwards(root / CGROUPS / mount, path, _version_1)


def _upwards(mount: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota = read(mount.joinpath(*parts[:depth]))
            if quota is not None:
                yield quota


def _version_2(group: Path) -> float | None:
    quota, period = (group / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _version_1(group: Path) -> float | None:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return None if quota < 0 else quota / int((group / "cpu.cfs_period_us").read_text())
