"""Room for what clients send and what lies in a file while it is read: memory, where the folder of the files is memory.

On the flashable image everything but ``/data`` is an overlay in memory, and some systems have ``/tmp`` there.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

KEEP_FREE = 96 << 20
"""Bytes of memory that a file in memory leaves free: twice what the status calls short (``board.sensors``)."""
MIB = 1 << 20

MOUNTS = Path("/proc/self/mountinfo")
"""The mounts of this process (proc(5)), in the order in which they were made."""


class Mount(Struct, frozen=True):
    """A line of ``mountinfo``: the place, the type of the file system, and its own options."""

    place: Path
    kind: str
    options: str


class SpoolRoom:
    """Says whether files in ``folder`` may grow. ``available`` gives the bytes of memory left, ``None`` if unknown."""

    def __init__(self, folder: Path, available: Callable[[], int | None], mounts: Path = MOUNTS) -> None:
        self._available = available
        try:
            self._bounded = in_memory(folder.resolve(), read(mounts.read_text()))
        except OSError:
            self._bounded = False

    def require(self, size: int) -> None:
        """Raise the OSError of a full disk unless ``size`` more bytes leave ``KEEP_FREE`` of memory."""
        if not self._bounded or (available := self._available()) is None:
            return
        if available - size < KEEP_FREE:
            reason = f"it would lie in memory, of which {available / MIB:.0f} MiB are left"
            raise OSError(errno.ENOSPC, f"{reason} and {KEEP_FREE / MIB:.0f} MiB must stay free")


def read(mountinfo: str) -> list[Mount]:
    """Return the mounts in the text of ``/proc/self/mountinfo``; lines that cannot be understood are left out."""
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(), after.split()
        if len(fields) > 4 and more:
            mounts.append(Mount(Path(_unescaped(fields[4])), more[0], more[-1]))
    return mounts


def in_memory(folder: Path, mounts: list[Mount]) -> bool:
    """Return whether files that are written in ``folder``, an absolute path without links, take memory.

    An overlay counts as what its upper folder lies in, and as memory when this process cannot see that.
    """
    found = [mount for mount in mounts if folder.is_relative_to(mount.place)]
    if not found:
        return False
    # of the most specific place, the mount that was made last is on top
    mount = max(enumerate(found), key=lambda each: (len(each[1].place.parts), each[0]))[1]
    if mount.kind != "overlay":
        return mount.kind in ("tmpfs", "ramfs")
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    if upper is None:
        return False  # it cannot be written to
    others = [each for each in mounts if each is not mount]
    below = Path(_unescaped(upper[1]))
    return in_memory(below, others) if any(_holds(each, below) for each in others) else True


def _holds(mount: Mount, folder: Path) -> bool:
    """Whether the mount is an own one on the way to ``folder``. The root's is what the overlay lies over."""
    return mount.place != Path("/") and folder.is_relative_to(mount.place)


def _unescaped(text: str) -> str:
    """``mountinfo`` has spaces and some other characters as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
