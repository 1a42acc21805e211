"""Files that hold secrets or counts: for their owner only, and after a power cut the old ones or the new ones."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_S = 10.0
"""A change takes milliseconds; a process that is in the way for longer has been stopped."""
LOOK_S = 0.02
"""Between two tries to be alone."""

Signature = tuple[int, int, int]
"""Time of the last change in ns, size, inode: different after every replacement."""


def signature(file: Path | int) -> Signature | None:
    """Of a path or an open file; ``None`` when there is no such file. Raises OSError."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def make_private(folder: Path) -> None:
    """Have ``folder``; a new one is its owner's only. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    if (owner := _owner(folder.parent)) is not None:
        os.chown(folder, *owner, follow_symlinks=False)


def replace(path: Path, data: bytes) -> None:
    """Put a file readable by its owner only in the place of ``path``, down to the disk. Raises OSError.

    Only one at a time may do so: the caller sees to that.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if (owner := _owner(path.parent)) is not None:
                os.fchown(descriptor, *owner)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def remove(path: Path) -> None:
    """No such file any more, down to the disk. Raises OSError; that there is none is none."""
    path.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process is in here for the same folder. Raises TimeoutError after ``LOCK_S``, other OSErrors at once.

    The folder itself is locked: a lock file would have an owner, which is the wrong one when root was first.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, time.monotonic() + LOCK_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(None, "another process is changing it and does not end") from None
            time.sleep(LOOK_S)


def _owner(folder: Path) -> tuple[int, int] | None:
    """Return user and group that a new file there must be given to; ``None`` when it is theirs already.

    What root makes would be closed to a daemon that is not root. In a folder of root's own nothing is given away:
    the units that update the program are root's, and their filter of system calls has no chown.
    """
    if os.geteuid() != 0:
        return None
    found = folder.stat()
    owner = (found.st_uid, found.st_gid)
    return None if owner == (os.geteuid(), os.getegid()) else owner


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
