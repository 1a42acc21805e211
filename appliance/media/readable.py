"""What the decoder needs of an open file, or of a part of one."""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """What is used of an open file."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Return the new position."""

    def seekable(self) -> bool:
        """Return whether ``seek`` works."""
