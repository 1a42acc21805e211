"""RIFF/WAVE headers in streams: how long a header is, and whether it contradicts the format of the stream.

Some clients send a WAV file in pieces, others make every message a WAV file of its own. Either way the header is no
audio. Layout: Multimedia Programming Interface and Data Specifications 1.0 (1991); format tags: RFC 2361 and mmreg.h.
"""

from __future__ import annotations

import struct

from appliance.core.options import AudioFormat, Encoding

HEADER_LIMIT = 65_536
"""Bytes after which a RIFF header without a data chunk is taken for audio; real headers end within some hundred."""
CHUNK = 8
"""Bytes of a chunk's name and size."""
FORM = 12
"""Bytes of ``RIFF``, size and ``WAVE``."""
FORMAT = struct.Struct("<HHIIHH")
"""The ``fmt`` chunk: tag, channels, rate in Hz, bytes per second, bytes per frame, bits per sample."""
EXTENSIBLE = 0xFFFE
"""A tag that says that the real one is in the first two bytes of the sub-format, 24 bytes into the chunk."""
SUBFORMAT = 24
ENCODINGS: dict[tuple[int, int], Encoding] = {
    (1, 16): Encoding.S16LE,
    (1, 32): Encoding.S32LE,
    (3, 16): Encoding.F16LE,
    (3, 32): Encoding.F32LE,
    (6, 8): Encoding.ALAW,
    (7, 8): Encoding.MULAW,
}
"""Format tag and bits per sample -> encoding."""


def is_wav(data: bytes) -> bool:
    """Return whether ``data`` begins a WAV file. Data shorter than 12 bytes never does."""
    return data[:4] == b"RIFF" and data[8:FORM] == b"WAVE"


def riff_header(data: bytes) -> int | None:
    """Return the bytes of the RIFF/WAVE header in front of ``data``: 0 without one, ``None`` when more is needed."""
    if not b"RIFF".startswith(data[:4]) or (len(data) >= FORM and data[8:FORM] != b"WAVE"):
        return 0
    at = FORM
    while at + CHUNK <= min(len(data), HEADER_LIMIT):
        if data[at : at + 4] == b"data":
            return at + CHUNK
        at += CHUNK + _padded(data, at)
    return 0 if at + CHUNK > HEADER_LIMIT else None


def audio_bytes(message: bytes) -> int:
    """Return the bytes of a message without the WAV header that it may begin with."""
    return len(message) - (riff_header(message) or 0) if is_wav(message) else len(message)


def contradiction(header: bytes, audio: AudioFormat) -> str:
    """Say how a complete WAV header contradicts the format of its stream; an empty text when it does not.

    A header without a usable ``fmt`` chunk, as some streaming encoders write it, states nothing.
    """
    found = _format(header)
    if found is None:
        return ""
    tag, channels, rate, bits = found
    encoding = ENCODINGS.get((tag, bits), f"{bits}-bit format {tag}")
    pairs = (
        (encoding, audio.encoding),
        (f"{rate} Hz", f"{audio.rate} Hz"),
        (_channels(channels), _channels(audio.channels)),
    )
    different = [pair for pair in pairs if pair[0] != pair[1]]
    if not different:
        return ""
    stated, wanted = (", ".join(words) for words in zip(*different, strict=True))
    return f"the WAV header states {stated}, the session {wanted}; open the session with the format of the file"


def _format(header: bytes) -> tuple[int, int, int, int] | None:
    """Return tag, channels, rate and bits of the ``fmt`` chunk; ``None`` when there is none, or an empty one."""
    at = FORM
    while at + CHUNK <= len(header) and header[at : at + 4] != b"fmt ":
        at += CHUNK + _padded(header, at)
    body = header[at + CHUNK : at + CHUNK + _padded(header, at)]
    if len(body) < FORMAT.size:
        return None
    tag, channels, rate, _, _, bits = FORMAT.unpack_from(body)
    if tag == EXTENSIBLE:
        tag = int.from_bytes(body[SUBFORMAT : SUBFORMAT + 2], "little")
    return (tag, channels, rate, bits) if tag and channels and rate else None


def _padded(data: bytes, at: int) -> int:
    """Return the size of the chunk at this place; chunks of odd size are followed by one more byte."""
    size = int.from_bytes(data[at + 4 : at + CHUNK], "little")
    return size + size % 2


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"
