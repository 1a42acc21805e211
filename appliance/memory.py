"""How much memory there is, and how the C library and the garbage collector keep it for this process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
from pathlib import Path

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""
LARGE = 1 << 16
"""Bytes; the event loop reads into buffers four times as large and keeps what came."""
THRESHOLDS = (700, 0, 0)
"""Each time that so many objects were left over, the youngest are collected, the next older too, all, and so on."""


CGROUP = Path("/sys/fs/cgroup")


def memory_mib() -> int:
    """Return the memory of this machine, or of the control group that it is limited by, in MiB."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        for folder in (CGROUP / own, *(CGROUP / own).parents):
            if (folder / "memory.max").is_file():
                total = min(total, int((folder / "memory.max").read_text().replace("max", str(total))))
    return total >> 20


def give_back() -> None:
    """Large buffers get pages of their own, and free ones at the end of the heap are given back.

    By itself glibc moves the limit above the size of any buffer that was ever given back. Then each read of few
    bytes begins with a large piece of the heap, what is kept splits it, and the heap grows by a MiB a minute and more
    for as long as there are microphones and streams (docs/performance.md). Nothing to do with another C library.
    """
    with contextlib.suppress(AttributeError, OSError):
        _library().mallopt(MMAP_THRESHOLD, LARGE)
        _library().mallopt(TRIM_THRESHOLD, 2 * LARGE)


def trim() -> None:
    """What is free in the heap is given back to the system, not only at its end. Takes a millisecond."""
    with contextlib.suppress(AttributeError, OSError):
        _library().malloc_trim(0)


def settle() -> None:
    """What there is now stays: collections need not look at it again, and in a fork do not copy its pages.

    What comes after it is looked through in full whenever 2 100 objects were left over; with so little to look at that
    costs less than a millisecond. By itself Python waits for a hundred thousand, and for a quarter of what the
    last full collection found, which is most of the program unless there is another one now. Until then all that
    such a collection gives back adds up: cycles, and up to 40 000 tuples that Python keeps for later use.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(*THRESHOLDS)


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
