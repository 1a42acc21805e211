"""The disk of a virtual machine: the Debian root, this checkout installed into it, and what the tests need inside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.boot.clients import recorded
from tests.boot.root import installed

GUEST = Path(__file__).with_name("guest")
INSIDE = Path("usr/lib/boot-test")
TOOLS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-aarch64": "qemu-user",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "flite": "flite",
}
"""Program -> Debian package."""
SIZE = "1536M"


def build(folder: Path, arch: str = "arm64") -> Path:
    """root.ext4, vmlinuz and initrd in ``folder``; skips where the tools are missing."""
    if missing := [package for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        pytest.skip(f"a virtual machine needs the Debian packages {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("making a root file system needs root")
    root = folder / "root"
    with installed(arch) as source:
        subprocess.run(["cp", "-a", source, root], check=True)
    try:
        furnish(root)
        return disk(root, folder)
    finally:
        shutil.rmtree(root)


def furnish(root: Path) -> None:
    """The agent, the simulated board, its configuration and something to say."""
    shutil.copytree(GUEST, root / INSIDE)
    for unit in ("agent", "board"):
        enable(root, INSIDE / f"{unit}.service")
    shutil.copy(GUEST / "appliance.toml", root / "etc/appliance/appliance.toml")
    recorded(root / INSIDE)


def enable(root: Path, unit: Path) -> None:
    """The unit starts with the system."""
    wants = root / "etc/systemd/system/sysinit.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / unit, wants.parent / f"boot-test-{unit.name}")
    (wants / f"boot-test-{unit.name}").symlink_to(f"../boot-test-{unit.name}")


def disk(root: Path, folder: Path) -> Path:
    """``root`` as ext4, beside the kernel to boot it with."""
    for name, pattern in {"vmlinuz": "boot/vmlinuz-*", "initrd": "boot/initrd.img-*"}.items():
        shutil.copy(next(root.glob(pattern)), folder / name)
    image = folder / "root.ext4"
    image.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, image, SIZE], check=True)
    return folder
