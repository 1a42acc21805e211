"""A virtual machine that boots a root file system: emulated, so that it needs no rights and is any architecture."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

MACHINES = {
    "arm64": ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"),
    "amd64": ("qemu-system-x86_64", "-M", "q35", "-cpu", "max"),
}
CONSOLES = {"arm64": "ttyAMA0", "amd64": "ttyS0"}
PARALLEL = ("-accel", "tcg,thread=multi", "-smp", "2")
COUNTED = ("-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off")
"""One instruction of the guest is one nanosecond of its clock, whatever happens outside."""
BOOT_S = 400.0
"""From power to a listening agent: 15 s on an idle machine, and patience for a busy one."""


class GuestError(Exception):
    """The guest did not do what it was asked to; the message has what it said."""


class Guest:
    """One running machine. Its disk is as before when it is started anew.

    ``files`` has root.ext4, vmlinuz and initrd; ``folder`` gets logs. ``ports`` maps the guest's to those of the host's
    loopback. ``booted_s`` is how long the agent took to answer. With ``counted`` the guest's clock counts instructions.
    """

    def __init__(
        self,
        files: Path,
        folder: Path,
        *,
        arch: str = "arm64",
        ports: tuple[int, ...] = (),
        memory_mib: int = 1024,
        counted: bool = False,
        kernel: str = "",
    ) -> None:
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self.console = folder / "console.log"
        self.began = time.monotonic()
        self.booted_s: float | None = None
        self._waiting: dict[int, Future[tuple[int, str]]] = {0: Future()}
        self._lock = threading.Lock()
        agent = folder / "agent"
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outer}-:{inner}" for inner, outer in self.ports.items())
        command = [
            *MACHINES[arch], *(COUNTED if counted else PARALLEL), "-m", str(memory_mib),
            "-nodefaults", "-nographic", "-no-reboot",
            "-kernel", str(files / "vmlinuz"), "-initrd", str(files / "initrd"),
            "-append", f"root=LABEL=root rw console={CONSOLES[arch]} quiet systemd.show_status=false {kernel}",
            "-drive", f"if=none,id=disk,file={files / 'root.ext4'},format=raw,snapshot=on",
            "-device", "virtio-blk-pci,drive=disk",
            "-netdev", f"user,id=lan{forwards}", "-device", "virtio-net-pci,netdev=lan,romfile=",
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent",
        ]  # fmt: skip
        with (folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._agent = self._connect(agent, folder / "qemu.log")
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_up(self) -> None:
        """Until the agent answers; ``GuestError`` with the end of the console when it does not."""
        self._answer(0, BOOT_S)

    def run(self, command: str, limit_s: float = 120.0, *, check: bool = True) -> str:
        """What a shell command of root's prints. ``GuestError`` when it fails, if ``check``, or takes too long."""
        code, output = self.start(command, limit_s).result(limit_s + 30)
        if check and code:
            raise GuestError(f"{command}: code {code}\n{output}")
        return output.strip()

    def start(self, command: str, limit_s: float = 120.0) -> Future[tuple[int, str]]:
        """The same without waiting: exit code and output come in the future."""
        with self._lock:
            number = len(self._waiting)
            future: Future[tuple[int, str]] = Future()
            self._waiting[number] = future
            request = {"id": number, "command": command, "limit_s": limit_s}
            self._agent.sendall(json.dumps(request).encode() + b"\n")
        return future

    def until(self, command: str, answer: str, limit_s: float = 120.0) -> str:
        """Ask until ``answer`` is part of what the command prints; all that it prints then."""
        end = time.monotonic() + limit_s
        while answer not in (output := self.run(command, check=False)):
            if time.monotonic() > end:
                raise GuestError(f"{command}: no {answer!r} in {limit_s:.0f} s, but\n{output}")
            time.sleep(1.0)
        return output

    def wait_off(self, limit_s: float = 120.0) -> int:
        """Until the machine has switched itself off; QEMU's exit status."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired as expired:
            raise GuestError(f"the guest is still on after {limit_s:.0f} s\n{self._said()}") from expired

    @property
    def on(self) -> bool:
        """Whether the machine runs."""
        return self._process.poll() is None

    def pull_the_plug(self) -> None:
        """Off at once; also when it is off already."""
        if self.on:
            self._process.kill()
        self._process.wait()
        self._agent.close()

    def _answer(self, number: int, limit_s: float) -> tuple[int, str]:
        try:
            return self._waiting[number].result(limit_s)
        except TimeoutError as error:
            raise GuestError(f"the guest's agent says nothing\n{self._said()}") from error

    def _read(self) -> None:
        with self._agent.makefile("rb") as lines:
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if answer["id"] == 0:
                    self.booted_s = time.monotonic() - self.began
                self._waiting[answer["id"]].set_result((answer["code"], answer["output"]))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(GuestError(f"the guest is off\n{self._said()}"))

    def _connect(self, path: Path, log: Path) -> socket.socket:
        """The agent's end of the serial port, which is there as soon as QEMU is."""
        end = time.monotonic() + 30
        while True:
            agent = socket.socket(socket.AF_UNIX)
            try:
                agent.connect(str(path))
                return agent
            except OSError as error:
                agent.close()
                if not self.on or time.monotonic() > end:
                    self._process.kill()
                    self._process.wait()
                    raise GuestError(f"QEMU does not start: {log.read_text(errors='replace')}") from error
                time.sleep(0.05)

    def _said(self) -> str:
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-30:])


def free_ports(count: int) -> list[int]:
    """Free TCP ports of the loopback; nobody else takes them in the moment until QEMU does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
