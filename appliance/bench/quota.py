"""A control group with less processor than the machine has, to measure as if on a smaller one. For root, on Linux."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PERIOD_US = 100_000
"""As systemd's CPUQuota= has it."""
MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"))

LIMITS = ("cpu.max", "cpu.cfs_quota_us")
"""Of control groups version 2 and 1."""


class NoQuota(Exception):
    """No such group can be made here; the message says why."""


class Quota:
    """So many cores for whoever is in the group."""

    def __init__(self, mount: Path, group: Path) -> None:
        self._mount = mount
        self._group = group

    def limit(self, cores: float) -> None:
        """From now on."""
        quota = int(cores * PERIOD_US)
        if (self._group / "cpu.max").exists():
            (self._group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (self._group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self._group / "cpu.cfs_quota_us").write_text(str(quota))

    def favour(self) -> None:
        """It is the quota that limits, and not who else runs on this machine."""
        for file, most in (("cpu.weight", 10_000), ("cpu.shares", 102_400)):
            if (self._group / file).exists():
                (self._group / file).write_text(str(most))

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This process is in it for a while, and stays out of it later; those that it starts meanwhile stay in."""
        before = self._mount.joinpath(*_own(self._group).split("/")) / "cgroup.procs"
        (self._group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            before.write_text(str(os.getpid()))


@contextlib.contextmanager
def quota(cores: float) -> Iterator[Quota]:
    """A group of our own with this limit; it must be empty at the end. Raises ``NoQuota``."""
    name = f"appliance-bench-{os.getpid()}"
    reason = "there is no controller for the processor"
    for mount in MOUNTS:
        group = mount / name
        made = Quota(mount, group)
        try:
            group.mkdir()
        except OSError as error:
            reason = f"{group}: {error.strerror}"
            continue
        if not any((group / file).exists() for file in LIMITS):  # a plain folder, or one without this controller
            group.rmdir()
            continue
        made.limit(cores)
        made.favour()
        try:
            yield made
        finally:
            group.rmdir()
        return
    raise NoQuota(reason)


def _own(group: Path) -> str:
    """The path of this process below the mount that ``group`` lies on."""
    second = (group / "cpu.max").exists()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (second and not controllers) or (not second and "cpu" in controllers.split(",")):
            return path.lstrip("/")
    return ""
