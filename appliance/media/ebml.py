"""Elements of WebM and Matroska files (EBML, RFC 8794), as far as the extent of a recording depends on them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from appliance.media.readable import Readable

DOCUMENT, SEGMENT = 0x1A45DFA3, 0x18538067
"""The header that begins each document, and the element that holds the recording (RFC 9559)."""
CLUSTER = 0x1F43B675
ENTERED = frozenset({SEGMENT, CLUSTER})
"""Elements whose contents are walked where their size is unknown, as in live recordings."""


class Element(Struct, frozen=True):
    """An element of a file: its identifier and where it begins and ends. ``end`` is ``None`` if its size is unknown."""

    identifier: int
    start: int
    end: int | None


def elements(file: Readable, start: int, size: int) -> Iterator[Element]:
    """Yield the elements from ``start`` on, to the end of the file (``size`` bytes) or to what is no element.

    The contents of elements are skipped, except those of segments and clusters of unknown size.
    """
    at = start
    while at < size:
        file.seek(at)
        head = file.read(12)
        width = _width(head, 0, 4)
        length = _width(head, width, 8)
        if not width or not length or len(head) < width + length:
            return
        identifier = int.from_bytes(head[:width], "big")
        mask = (1 << 7 * length) - 1
        value = int.from_bytes(head[width : width + length], "big") & mask
        end = None if value == mask else at + width + length + value
        yield Element(identifier, at, end)
        if end is None and identifier not in ENTERED:
            return
        at = at + width + length if end is None else end


def _width(data: bytes, at: int, longest: int) -> int:
    """Bytes of the variable-length number at ``at``, 0 if there is none."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    return width if first and width <= longest else 0
