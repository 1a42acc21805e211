"""A daemon in a process of its own, to be attacked: its event loop, memory and log are then its own.

Run as a program, this module is that daemon: its argument is JSON with what ``device`` was given. It prints one line of
JSON (``port``, ``tls_port``) when it is ready, and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.accounts.keys import Keys
from appliance.config import load
from appliance.daemon import Daemon
from appliance.packs.selection import Selection
from tests.box import fake

ROOT = Path(__file__).parents[2]
STOP_S = 30.0


class Device(Struct, frozen=True):
    """A running daemon. ``log`` is the file that its log goes to; ``state`` is its state directory."""

    pid: int
    port: int
    tls_port: int
    log: Path
    state: Path

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens without TLS."""
        return "127.0.0.1", self.port

    @property
    def memory(self) -> int:
        """Bytes of resident memory of the daemon's process, without its workers (``VmRSS``, proc(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time of the daemon's process, without its workers (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def descriptors(self) -> int:
        """Open file descriptors of the daemon's process."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def key(self, name: str = "client") -> str:
        """A new key, as ``appliance keys create`` makes it."""
        return Keys(self.state / "accounts").create(name, now=1.7e9)[1]


@contextlib.contextmanager
def device(
    *, descriptors: int = 0, constants: dict[str, float] | None = None, **tables: dict[str, Any]
) -> Iterator[Device]:
    """A daemon with the fake engine. ``tables`` are those of the configuration.

    ``descriptors``: its limit of open files; 0 leaves that of the test. ``constants``: other values for constants, by
    module and name below ``appliance.server``, so that a test need not wait for a deadline of 10 s.
    """
    with tempfile.TemporaryDirectory() as folder:
        state, log = Path(folder) / "state", Path(folder) / "log"
        settings: dict[str, Any] = {"microphones": [], "tls": {"enabled": False}, **tables}
        settings["server"] = {"port": 0, "state_dir": str(state), **tables.get("server", {})}
        settings["scheduling"] = {"calibrate": False, **tables.get("scheduling", {})}
        settings["recognizer"] = {"detector": "energy", **tables.get("recognizer", {})}
        program = [sys.executable, "-m", "tests.attacks.device", json.dumps([settings, descriptors, constants or {}])]
        with (
            log.open("wb") as sink,
            subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                assert line, f"the daemon did not start: {log.read_text()}"
                yield Device(process.pid, log=log, state=state, **json.loads(line))
            finally:
                process.stdin.close()
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


def serve(settings: dict[str, Any], descriptors: int, constants: dict[str, float]) -> None:
    """Be the daemon until standard input is closed."""
    logging.basicConfig(level=logging.INFO)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(f"appliance.server.{module}"), constant, value)
    daemon = Daemon(load(None, settings), Selection((fake(),), "the attack asks for it"))

    def ready(daemon: Daemon) -> None:
        assert daemon.bound is not None
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        tls_port = daemon.bound_tls[1] if daemon.bound_tls else 0
        print(json.dumps({"port": daemon.bound[1], "tls_port": tls_port}), flush=True)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop)

    def stop() -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        daemon.stop()

    asyncio.run(daemon.run(ready))


if __name__ == "__main__":
    serve(*json.loads(sys.argv[1]))
