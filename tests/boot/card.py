"""The very image for the card, booted on an emulated board as it is: set up by its appliance.txt, reached by ssh.

QEMU does not run the boards' firmware: kernel, initial RAM disk, device tree and command line are taken from the FAT
partition, as the firmware does.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from tests.boot.qemu import GuestError, free_ports
from tests.boot.root import CHECKOUT

OFFSET = "@@4M"
"""Where the FAT partition begins, as mtools want to be told."""
SIZE_MIB = 2048
"""Of the card: larger than the image, so that there is something to grow into; QEMU wants a power of two."""
BOOT_S = 600.0
SSH_PORT, PORT = 22, 8080


TOLD = "systemd.journald.forward_to_console=yes systemd.journald.max_level_console=notice"
"""So that what goes wrong before anybody can log in is in a test's report."""


class Board(NamedTuple):
    """What QEMU emulates, and what the kernel is told for that."""

    machine: tuple[str, ...]
    disk: str
    network: str
    kernel: str
    dtb: str = ""
    serials: int = 1


BOARDS = {
    # the drivers named there wait for firmware that QEMU has not got
    "raspi3b": Board(
        ("-M", "raspi3b"), "if=sd,file={image},format=raw", "usb-net,netdev=lan",
        f"modprobe.blacklist=vc4,bcm2835_v4l2,snd_bcm2835,hci_uart,btbcm {TOLD}", "bcm2837-rpi-3-b.dtb", 2,
    ),
    "virt": Board(
        ("-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-accel", "tcg,thread=multi"),
        "if=virtio,file={image},format=raw", "virtio-net-pci,netdev=lan,romfile=", f"console=ttyAMA0 {TOLD}",
    ),
}  # fmt: skip


class Card:
    """A card of its own with the image on it. Nobody else changes it while it is in a board."""

    def __init__(self, image: Path, place: Path) -> None:
        self.path = place / "card.img"
        subprocess.run(["cp", "--sparse=always", image, self.path], check=True)
        subprocess.run(["truncate", "-s", f"{SIZE_MIB}M", self.path], check=True)

    def write(self, name: str, text: str) -> None:
        """What the owner writes with his computer."""
        self._mtools("mcopy", "-o", "-", f"::{name}", text=text)

    def read(self, name: str) -> str | None:
        """A file of the FAT partition as text; None when there is none."""
        done = self._mtools("mtype", f"::{name}", check=False)
        return done.stdout.replace("\r\n", "\n") if done.returncode == 0 else None

    def names(self) -> list[str]:
        """The files at the top of the FAT partition."""
        return self._mtools("mdir", "-b").stdout.replace("::/", "").split()

    def take(self, name: str, folder: Path) -> Path:
        """A copy of a file of the FAT partition."""
        self._mtools("mcopy", "-o", f"::{name}", str(folder))
        return folder / name

    def _mtools(
        self, tool: str, *arguments: str, text: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [tool, "-i", f"{self.path}{OFFSET}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", check=False)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done


def newer(folder: Path, *options: str) -> Path:
    """An update of this checkout that calls itself newer than the image; ``options`` of image/bundle."""
    root, bundle = folder / "newer", folder / "newer.appliance-update"
    root.mkdir(parents=True)
    later = os.environ | {"SOURCE_DATE_EPOCH": str(int(time.time()))}
    install = [CHECKOUT / "image" / "install", root, "--arch", "arm64", "--python", "3.13", "--package"]
    subprocess.run(install, check=True, env=later)
    # hardly packed: made, and taken by an emulated board, in less time
    subprocess.run([CHECKOUT / "image" / "bundle", root, bundle, *options], check=True, env=os.environ | {"LEVEL": "0"})
    shutil.rmtree(root)
    return bundle


def stick(folder: Path, *files: Path) -> Path:
    """A USB stick with a FAT file system and these files."""
    image = folder / "stick.img"
    subprocess.run(["truncate", "-s", "512M", image], check=True)
    subprocess.run(["mkfs.vfat", "-F", "32", "-n", "STICK", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mcopy", "-i", image, *files, "::"], check=True)
    return image


class Key(NamedTuple):
    """A key pair of the owner, for ssh."""

    private: Path
    public: str


def ssh_key(folder: Path) -> Key:
    private = folder / "owner"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner@test", "-f", private], check=True)
    return Key(private, private.with_suffix(".pub").read_text().strip())


class Running:
    """A board with power. What it writes to the card stays there, also when the plug is pulled."""

    def __init__(self, card: Card, board: str, folder: Path, key: Key, stick: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        emulated = BOARDS[board]
        self.began = time.monotonic()
        self.ports = dict(zip((SSH_PORT, PORT), free_ports(2), strict=True))
        self.consoles = [folder / f"console-{number}.log" for number in range(emulated.serials)]
        self.key = key
        self._log = folder / "qemu.log"
        self._started: list[subprocess.Popen[bytes]] = []
        names = card.names()
        kernel = card.take(next(name for name in names if name.startswith("vmlinuz")), folder)
        initrd = card.take(next(name for name in names if name.startswith("initrd")), folder)
        told = (card.read("cmdline.txt") or "").strip()
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outer}-:{inner}" for inner, outer in self.ports.items())
        command = [
            "qemu-system-aarch64", *emulated.machine, "-nographic", "-no-reboot", "-monitor", "none",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{told} {emulated.kernel}",
            "-drive", emulated.disk.format(image=card.path),
            "-netdev", f"user,id=lan{forwards}", "-device", emulated.network,
        ]  # fmt: skip
        if stick is not None:
            command += ["-drive", f"if=none,id=stick,file={stick},format=raw", "-device", "qemu-xhci"]
            command += ["-device", "usb-storage,drive=stick"]
        if emulated.dtb:
            command += ["-dtb", str(card.take(emulated.dtb, folder))]
        for console in self.consoles:
            command += ["-serial", f"file:{console}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_up(self, limit_s: float = BOOT_S) -> float:
        """Until the owner can log in; seconds since power."""
        end = self.began + limit_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise GuestError(f"QEMU has ended: {self._log.read_text(errors='replace')}\n{self.said()}")
            try:
                self.run("true", 30)
                return time.monotonic() - self.began
            except (GuestError, subprocess.TimeoutExpired):
                time.sleep(2)
        raise GuestError(f"nobody can log in after {limit_s:.0f} s\n{self.said()}")

    def run(self, command: str, limit_s: float = 180.0, *, check: bool = True, data: bytes = b"") -> str:
        """What a command of root's prints; ``data`` is its input."""
        done = subprocess.run([*self._ssh(), command], input=data, capture_output=True, timeout=limit_s, check=False)
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        if check and done.returncode:
            raise GuestError(f"{command}: status {done.returncode}\n{output}")
        return output

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """The same without waiting; it ends with the board at the latest. Whoever asks for it closes it (``with``)."""
        started = subprocess.Popen(
            [*self._ssh(), command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._started.append(started)
        return started

    def until(self, command: str, answer: str, limit_s: float = 240.0) -> str:
        """Ask until ``answer`` is part of what the command prints; all that it prints then."""
        end = time.monotonic() + limit_s
        while answer not in (output := self.run(command, check=False)):
            if time.monotonic() > end:
                raise GuestError(f"{command}: no {answer!r} in {limit_s:.0f} s, but\n{output}\n{self.said()}")
            time.sleep(2)
        return output

    def wait_ready(self, limit_s: float = 400.0) -> str:
        """Until the service is ready; its status line."""
        self.until("systemctl show appliance --property=ActiveState", "ActiveState=active", limit_s)
        return self.run("systemctl show appliance --property=StatusText --value")

    def put(self, data: bytes, path: str) -> None:
        """A file of root's."""
        self.run(f"cat >{shlex.quote(path)}", 300, data=data)

    def said(self) -> str:
        """The ends of what was said on the consoles."""
        return "\n".join(
            "\n".join(console.read_text(errors="replace").splitlines()[-25:])
            for console in self.consoles
            if console.exists()
        )

    def pull_the_plug(self) -> None:
        """Off at once; also when it is off already."""
        self._process.kill()
        self._process.wait()
        for started in self._started:
            started.kill()
            started.wait()

    def _ssh(self) -> list[str]:
        options = {
            "Port": str(self.ports[SSH_PORT]), "IdentityFile": str(self.key.private), "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR", "BatchMode": "yes",
            "ConnectTimeout": "20", "ServerAliveInterval": "20", "ServerAliveCountMax": "6",
        }  # fmt: skip
        return [
            "ssh",
            *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
            "root@127.0.0.1",
        ]
