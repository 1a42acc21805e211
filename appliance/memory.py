"""How the C library keeps memory for this process."""

from __future__ import annotations

import contextlib
import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""
LARGE = 1 << 16
"""Bytes; the event loop reads into buffers four times as large and keeps what came."""


def give_back() -> None:
    """Large buffers get pages of their own, and free ones at the end of the heap are given back.

    By itself glibc moves the limit above the size of any buffer that was ever given back. Then each read of few
    bytes begins with a large piece of the heap, what is kept splits it, and the heap grows by a MiB a minute and more
    for as long as there are microphones and streams (docs/performance.md). Nothing to do with another C library.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGE)
        library.mallopt(TRIM_THRESHOLD, 2 * LARGE)
