"""What installing a model pack asks of the disk: room, and bytes that are still there after a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CHUNK = 1 << 18
"""Bytes read at a time: a progress bar moves smoothly, and a slow card is still written in large pieces."""

RESERVE = 64 << 20
"""Bytes that must stay free, so that logs and the system keep working on a full card."""

Progress = Callable[[int, int | None], None]
"""Is told the bytes done and the bytes there will be, None when unknown."""


class PackError(Exception):
    """Something about model packs that failed; the message is a sentence a person can act on."""


@contextmanager
def in_words() -> Iterator[None]:
    """Turns the operating system's errors within into PackError."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise PackError(f"the disk says: {error.strerror or error}{where}") from error


def require_space(folder: Path, needed: int) -> None:
    """Raise the OSError of a full disk, early, unless ``needed`` bytes fit where ``folder`` is."""
    free = shutil.disk_usage(folder).free - RESERVE
    if needed > free:
        message = f"{megabytes(needed)} are needed, only {megabytes(max(free, 0))} are free"
        raise OSError(errno.ENOSPC, message, str(folder))


def megabytes(size: int) -> str:
    """Decimal, as disks are sold and sizes published."""
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"


def chunks(source: IO[bytes]) -> Iterator[bytes]:
    """What is left in ``source``, in pieces of at most CHUNK bytes."""
    while chunk := source.read(CHUNK):
        yield chunk


def write(source: IO[bytes], target: Path, wrote: Callable[[int], None]) -> tuple[int, str]:
    """Copy to the new file ``target``, down to the disk; its size and SHA-256. ``wrote`` hears of each piece."""
    size, digest = 0, hashlib.sha256()
    with target.open("xb") as file:
        for chunk in chunks(source):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            wrote(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Have the names in ``folder`` and below it on the disk."""
    for path, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(path))
