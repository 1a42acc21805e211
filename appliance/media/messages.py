"""Messages of the decoder process to its parent: a header of five bytes, then samples or JSON."""

from __future__ import annotations

import enum
import struct

import msgspec
from msgspec import Struct

HEADER = struct.Struct("<BI")
"""Kind of the message and bytes of its body."""
LONGEST_BODY = 1 << 20
"""Bytes; a longer body is an error of the decoder, which may have been taken over by what it decodes."""


class Kind(enum.IntEnum):
    """What the body is."""

    OPENED = 1
    """``Opened``: comes first, when there is audio."""
    AUDIO = 2
    """s16le samples, mono, 16 kHz."""
    ENDED = 3
    """``Ended``: comes last, also without ``OPENED``."""


class Opened(Struct, frozen=True):
    """What the recording is."""

    format: str
    codec: str
    duration_s: float | None
    """The duration that the file states, or FFmpeg's estimate; ``None`` if it is unknown."""
    fences: tuple[str, ...]
    """What confines the decoder: see ``appliance.media.confinement``."""


class Ended(Struct, frozen=True):
    """The last message. ``shortfall`` says what is missing, empty for a complete recording."""

    samples: int
    shortfall: str


def packed(kind: Kind, body: bytes | Struct) -> bytes:
    """Return one message."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return HEADER.pack(kind, len(data)) + data


def header(data: bytes) -> tuple[Kind, int]:
    """Return kind and length of the body of the message that begins with ``data``. Raises ``ValueError``."""
    kind, size = HEADER.unpack(data)
    if size > LONGEST_BODY:
        raise ValueError(f"decoder message of {size} bytes; at most {LONGEST_BODY} are accepted")
    return Kind(kind), size
