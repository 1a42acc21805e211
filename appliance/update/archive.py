"""Reads tar archives that nobody vouches for yet, strictly: what is unusual is refused instead of understood.

The tarfile module understands much that is not needed here, and reads headers of any length into memory.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from tarfile import AREGTYPE, BLOCKSIZE, REGTYPE, HeaderError, TarInfo
from typing import Protocol

from appliance.update.manifest import NotTaken

XZ_MEMORY = 100 << 20
"""Bytes that unpacking may take: xz -9 needs 65 MiB, and image/bundle is content with less."""
PIECE = 1 << 16


class Source(Protocol):
    """Bytes in order; ``read`` gives fewer than were asked for only at the end, and then nothing."""

    def read(self, most: int, /) -> bytes: ...


class Part:
    """The next ``size`` bytes of a source. Raises ``NotTaken`` when it ends before."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self.left = size

    def read(self, most: int = PIECE, /) -> bytes:
        data = self._source.read(min(most, self.left))
        if not data and self.left and most:
            raise NotTaken("it ends in the middle: the file is not complete")
        self.left -= len(data)
        return data

    def rest(self) -> bytes:
        """All that is left."""
        return b"".join(iter(self.read, b""))


class Hashed:
    """A source that tells what has gone through it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, most: int, /) -> bytes:
        data = self._source.read(most)
        self._digest.update(data)
        return data

    @property
    def sha256(self) -> str:
        """In hexadecimal, of all that was read."""
        return self._digest.hexdigest()


class Unpacked:
    """What is in an xz file; at most ``limit`` bytes. Raises ``NotTaken``."""

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._left = limit
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, most: int, /) -> bytes:
        data = b""
        while len(data) < most and not self._decoder.eof:
            more = self._source.read(PIECE) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not more:
                raise NotTaken("its payload is cut off")
            try:
                data += self._decoder.decompress(more, most - len(data))
            except (lzma.LZMAError, EOFError) as error:
                raise NotTaken(f"its payload is damaged: {error}") from error
        self._left -= len(data)
        if self._left < 0:
            raise NotTaken("there is more in it than its manifest says")
        return data


def members(source: Source) -> Iterator[tuple[TarInfo, Part]]:
    """The members with their content, which is skipped as far as it was not read. Raises ``NotTaken``.

    One header a member: no extended ones, so a name has at most 255 characters and nothing is read ahead.
    """
    while (header := _header(source)) is not None:
        content = Part(source, header.size if is_file(header) else 0)
        padding = -content.left % BLOCKSIZE
        yield header, content
        content.rest()
        Part(source, padding).rest()


def is_file(header: TarInfo) -> bool:
    """A plain one: for tarfile a sparse one is regular, too."""
    return header.type in (REGTYPE, AREGTYPE)


def _header(source: Source) -> TarInfo | None:
    """The next one; ``None`` for the block of zeros that ends an archive."""
    block = Part(source, BLOCKSIZE).rest()
    if not any(block):
        return None
    try:
        header = TarInfo.frombuf(block, "utf-8", "strict")
    except (HeaderError, ValueError) as error:
        raise NotTaken(f"it is damaged, or no update at all: {error}") from error
    if header.size < 0:
        raise NotTaken("it is damaged: a size is negative")
    return header
