"""Root file systems with this checkout installed, kept under build/ until something in them changes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ROOTS = Path(os.environ.get("APPLIANCE_ROOTS", CHECKOUT / "build" / "roots"))
"""Has arm64.tar and amd64.tar, as image/rootfs makes them."""
INSTALLED = CHECKOUT / "build" / "installed"
FURTHER = {"amd64": ("libasound2-plugins",), "arm64": ()}
"""Packages for the tests: in a container, a virtual microphone speaks PulseAudio."""
SOURCES = ("appliance", "hardware", "systemd", "image/install", "image/strip", "image/wheels.lock", "pyproject.toml")
"""What an installed root depends on, besides its base."""
BUILD_S = 1800


def base(arch: str) -> Path:
    """The tar of Debian alone; made when it is not there, which takes a minute for the machine's own architecture."""
    return _made(f"{arch}.tar", lambda new: [CHECKOUT / "image" / "rootfs", arch, new, *FURTHER[arch]])


def bare(suite: str, packages: tuple[str, ...]) -> Path:
    """The tar of a Debian with systemd and these packages, of this machine's architecture, and nothing of ours."""
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    wanted = ",".join(("systemd-sysv", "dbus", "udev", "init-system-helpers", *packages))
    command = ["mmdebstrap", "--quiet", "--variant=apt", '--aptopt=APT::Install-Recommends "false"']
    return _made(f"{suite}-{digest}.tar", lambda new: [*command, f"--include={wanted}", suite, new])


def extracted(arch: str, packages: tuple[str, ...]) -> Path:
    """The tar of these packages of Debian and what they need, unpacked and not installed: 7 s for any architecture."""
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--architectures={arch}",
        f"--include={','.join(packages)}",
    ]
    return _made(f"{arch}-{digest}.tar", lambda new: [*command, "trixie", new])


def _made(name: str, command: Callable[[Path], list[str | Path]]) -> Path:
    """A tar of ROOTS; made by this command when it is not there, by one process at a time."""
    tar = ROOTS / name
    ROOTS.mkdir(parents=True, exist_ok=True)
    with _locked(tar.with_suffix(".lock"), fcntl.LOCK_EX):
        if not tar.exists():
            new = tar.with_suffix(".new.tar")
            subprocess.run(command(new), check=True, timeout=BUILD_S)
            new.rename(tar)
    return tar


@contextlib.contextmanager
def installed(arch: str) -> Iterator[Path]:
    """A root file system to boot, not to write to. Others of older checkouts are removed unless they are in use."""
    tar = base(arch)
    INSTALLED.mkdir(parents=True, exist_ok=True)
    root = INSTALLED / f"{arch}-{_digest(tar)}"
    with contextlib.ExitStack() as use:
        with _locked(INSTALLED / "all.lock", fcntl.LOCK_EX):  # without it nobody opens, makes or removes another lock
            use.enter_context(_locked(_lock(root), fcntl.LOCK_SH))
            for lock in INSTALLED.glob(f"{arch}-*.lock"):
                if lock != _lock(root):
                    _remove(lock)
            if not root.exists():
                new = root.with_suffix(".new")
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
                subprocess.run(["tar", "-C", new, "-xpf", tar], check=True, timeout=BUILD_S)
                subprocess.run([CHECKOUT / "image" / "install", new], check=True, timeout=BUILD_S)
                new.rename(root)
        yield root


def _lock(root: Path) -> Path:
    return root.with_suffix(".lock")


def _remove(lock: Path) -> None:
    """A root with its lock, unless somebody uses it."""
    with contextlib.suppress(BlockingIOError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for folder in (lock.with_suffix(""), lock.with_suffix(".new")):
            if folder.exists():
                shutil.rmtree(folder)
        lock.unlink()


@contextlib.contextmanager
def _locked(lock: Path, how: int) -> Iterator[None]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _digest(tar: Path) -> str:
    found = tar.stat()
    digest = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    for source in SOURCES:
        path = CHECKOUT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(CHECKOUT)).encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
