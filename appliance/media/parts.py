"""Recordings that were joined byte by byte (``cat a.wav b.wav``): where the next one begins.

FFmpeg reads on by itself in MP3, Ogg, FLAC and AAC. Containers of chunks, boxes and elements end for it with the first
or the second one, so their parts are found here by the sizes that they state.
"""

from __future__ import annotations

from appliance.audio.signature import HEAD_BYTES, recognise
from appliance.media.ebml import DOCUMENT, elements
from appliance.media.extent import PLACEHOLDER
from appliance.media.readable import Readable

LONGEST_WALK = 100_000
"""Boxes or chunks that are looked at in one file; a fragmented MP4 of ten hours has 72,000."""
BOX_BYTES = 8


class Window:
    """A part of an open file as a file of its own, for reading."""

    def __init__(self, file: Readable, start: int, end: int) -> None:
        """``start`` and ``end`` are positions in ``file``, in bytes."""
        self._file, self._start, self._end = file, start, end
        self._at = start

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, all that are left by default, none at the end."""
        left = max(0, self._end - self._at)
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as ``io.IOBase.seek`` does and return the new position, from the beginning of the part."""
        base = (self._start, self._at, self._end)[whence]
        self._at = max(self._start, base + offset)
        return self._at - self._start

    def tell(self) -> int:
        """Return the position from the beginning of the part."""
        return self._at - self._start

    def seekable(self) -> bool:
        """Return true: parts are found in files only."""
        return True

    @property
    def size(self) -> int:
        """Bytes of the part."""
        return self._end - self._start


def parts(file: Readable, size: int) -> list[Window]:
    """Return the recordings of which ``file`` (``size`` bytes) consists: usually one, and always at least one."""
    starts = [0]
    while (next_start := _end(file, starts[-1], size)) is not None:
        file.seek(next_start)
        signature = recognise(file.read(HEAD_BYTES))
        if signature is None or not signature.audio:
            break
        starts.append(next_start)
    return [Window(file, start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]


def _end(file: Readable, start: int, size: int) -> int | None:
    """Where the recording that begins at ``start`` ends before the file does; ``None`` if it does not."""
    file.seek(start)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"FORM"):
        length = int.from_bytes(head[4:8], "little" if head[:1] == b"R" else "big")
        end = start + 8 + length + length % 2
        return end if 4 < length < PLACEHOLDER and end < size else None
    if head[4:8] == b"ftyp":
        return _next_ftyp(file, start, size)
    if int.from_bytes(head[:4], "big") == DOCUMENT:
        documents = (each.start for each in elements(file, start, size) if each.identifier == DOCUMENT)
        return next((at for at in documents if at > start), None)
    return None


def _next_ftyp(file: Readable, start: int, size: int) -> int | None:
    """The second ``ftyp`` box at the top level (ISO 14496-12, 4.2)."""
    at = start
    for _ in range(LONGEST_WALK):
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if len(head) < BOX_BYTES or length < BOX_BYTES:
            return None
        if at > start and head[4:8] == b"ftyp":
            return at
        at += length
        if at >= size:
            return None
    return None
