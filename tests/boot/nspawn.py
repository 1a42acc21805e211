"""A container that boots the installed root file system with systemd as its first process, in half a second."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

UNIT = "appliance.service"
BOOT_S = 30.0
READY_S = 90.0
LOOK_S = 0.2
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
FACTS = (
    "ActiveState", "SubState", "Result", "StatusText", "MainPID", "NRestarts", "ExecMainStatus", "RestartUSecNext",
)  # fmt: skip

Answer = TypeVar("Answer")


def missing() -> str:
    """What this machine lacks to boot a container; empty when it has all."""
    if os.geteuid() != 0:
        return "root"
    tools = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux", "mmdebstrap": "mmdebstrap"}
    return ", ".join(f"the Debian package {package}" for tool, package in tools.items() if shutil.which(tool) is None)


class Machine:
    """A booted container on the host's network. What it writes is gone with it."""

    def __init__(self, leader: int, log: Path) -> None:
        self.leader = leader
        """Its first process, as the host numbers it."""
        self.log = log
        """What it said on its console."""

    def run(self, *command: str, check: bool = True, limit_s: float = 60.0, text: str = "") -> str:
        """What a command of root's prints inside."""
        inside = ["nsenter", "-t", str(self.leader), "-a", *command]
        done = subprocess.run(
            inside, env=ENVIRONMENT, input=text, capture_output=True, text=True, timeout=limit_s, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def show(self, unit: str = UNIT) -> dict[str, str]:
        """The unit's FACTS."""
        told = self.run("systemctl", "show", unit, *(f"--property={fact}" for fact in FACTS), check=False)
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def until(self, *, unit: str = UNIT, limit_s: float = READY_S, **facts: str) -> dict[str, str]:
        """Wait until each of these facts is so, ``StatusText`` and ``Result`` in part; all facts then."""

        def so() -> dict[str, str] | None:
            shown = self.show(unit)
            return shown if all(_fits(shown.get(fact, ""), fact, wanted) for fact, wanted in facts.items()) else None

        return self.wait_for(so, f"{unit} with {facts}", limit_s)

    def ready(self, limit_s: float = READY_S) -> dict[str, str]:
        """Wait until the daemon has said that it is ready."""
        return self.until(limit_s=limit_s, ActiveState="active")

    def wait_for(self, look: Callable[[], Answer | None], what: str, limit_s: float = READY_S) -> Answer:
        """The first answer of ``look`` that is not empty; AssertionError with the journal when none comes."""
        end = time.monotonic() + limit_s
        while not (answer := look()):
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not in {limit_s:.0f} s, but {self.show()}\n{self.journal()}")
            time.sleep(LOOK_S)
        return answer

    def journal(self, unit: str = UNIT, *arguments: str) -> str:
        """The unit's messages, without times."""
        return self.run("journalctl", f"--unit={unit}", "--no-pager", "--output=cat", *arguments, check=False)

    def processes(self) -> dict[int, str]:
        """Process -> command line of everything in the daemon's control group."""
        listed = self.run("systemctl", "show", UNIT, "--property=ControlGroup", "--value")
        pids = self.run("cat", f"/sys/fs/cgroup/systemd{listed}/cgroup.procs", f"/sys/fs/cgroup{listed}/cgroup.procs",
                        check=False)  # fmt: skip
        found = {}
        for pid in {int(pid) for pid in pids.split()}:
            found[pid] = self.run("cat", f"/proc/{pid}/cmdline", check=False).replace("\0", " ")
        return found

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process by its number inside, unless it is gone already."""
        self.run("sh", "-c", f"kill -{number.value} {pid} || test ! -e /proc/{pid}")

    def write(self, path: str, text: str) -> None:
        """Replace a file inside."""
        self.run("tee", path, text=text)

    def wait_off(self) -> None:
        """Wait until it has switched itself off."""
        end = time.monotonic() + READY_S
        while self.on:
            assert time.monotonic() < end, f"still on after {READY_S:.0f} s: {self.log.read_text(errors='replace')}"
            time.sleep(LOOK_S)

    @property
    def on(self) -> bool:
        """Whether it runs."""
        return Path(f"/proc/{self.leader}").exists()


@contextmanager
def machine(root: Path, log: Path, *arguments: str, volatile: str = "overlay") -> Iterator[Machine]:
    """Boot, and pull the plug at the end. ``arguments``: more of systemd-nspawn's."""
    command = [
        "systemd-nspawn", "--quiet", f"--directory={root}", f"--volatile={volatile}", "--boot", "--register=no",
        "--keep-unit", f"--machine=appliance-{uuid.uuid4().hex[:8]}", "--console=pipe", "--link-journal=no", *arguments,
    ]  # fmt: skip
    with log.open("wb") as console:
        nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    leader = None
    try:
        leader = _leader(nspawn, log)
        booted = Machine(leader, log)
        booted.wait_for(
            lambda: booted.run("systemctl", "is-system-running", check=False) in ("starting", "running", "degraded"),
            "a system that starts",
            BOOT_S,
        )
        yield booted
    finally:
        if leader is not None and nspawn.poll() is None:
            os.kill(leader, signal.SIGKILL)
        try:
            nspawn.wait(10)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def _leader(nspawn: subprocess.Popen[bytes], log: Path) -> int:
    """The container's first process, as the host numbers it."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    end = time.monotonic() + BOOT_S
    while nspawn.poll() is None and time.monotonic() < end:
        for pid in children.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() in ("systemd", "init"):
                return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"the container does not start: {log.read_text(errors='replace')}")


def _fits(found: str, fact: str, wanted: str) -> bool:
    return wanted in found if fact in ("StatusText", "Result") else wanted == found
