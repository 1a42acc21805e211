"""Files of the system: what shall be in them, and how they get there."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from appliance.accounts.disk import replace

PRIVATE = ("/root/.ssh", "/var/lib/iwd")
"""Folders that are made for root only when they are not there."""


class File(Struct, frozen=True):
    """A file of text, by its path in the system."""

    path: str
    text: str
    mode: int = 0o644


class Link(Struct, frozen=True):
    """A symbolic link, by its path in the system."""

    path: str
    target: str


def put(root: Path, file: File | Link) -> None:
    """Have it below ``root``, whole or not at all; one that is as it should be is left alone. Raises OSError."""
    path = below(root, file.path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, mode=0o755)
        if str(Path(file.path).parent) in PRIVATE:
            path.parent.chmod(0o700)
    if isinstance(file, Link):
        if not path.is_symlink() or os.readlink(path) != file.target:
            new = path.with_name(f"{path.name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(file.target)
            new.replace(path)
        return
    data = file.text.encode()
    try:
        same = not path.is_symlink() and path.read_bytes() == data and path.stat().st_mode & 0o777 == file.mode
    except OSError:
        same = False
    if not same:
        replace(path, data)
        path.chmod(file.mode)


def below(root: Path, path: str) -> Path:
    """Where a path of the system is."""
    return root / path.lstrip("/")
