"""Which programs hold a device or a port, as far as this user may know. From /proc; linear in open files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

CAPTURE = re.compile(r"/dev/snd/pcmC\d+D\d+c$")
LISTENING = "0A"
"""In /proc/net/tcp."""


def recording(root: Path = Path("/")) -> dict[int, str]:
    """Process id -> command line, of the programs that have a card open for recording."""
    return {pid: _command(root, pid) for pid, target in _open(root) if CAPTURE.match(target)}


def listening(port: int, root: Path = Path("/")) -> tuple[bool, dict[int, str]]:
    """Whether anybody listens on this TCP port, and who, as far as it can be known."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in _lines(root / "proc/net" / table)[1:]:
            columns = line.split()
            if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    return bool(inodes), {pid: _command(root, pid) for pid, target in _open(root) if target in inodes}


def _open(root: Path) -> Iterator[tuple[int, str]]:
    """(process id, what a descriptor is) of all processes that may be looked into."""
    for folder in (root / "proc").glob("[0-9]*/fd"):
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                yield int(folder.parent.name), os.readlink(entry)
            except OSError:
                continue


def _command(root: Path, pid: int) -> str:
    """The program and its first arguments; no more of them, for they may hold a secret."""
    try:
        words = (root / "proc" / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    return " ".join(words[:4]).strip()[:80] or "?"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
