"""How long a file says it is, compared with the bytes that are there: the evidence for a recording that was cut off.

FFmpeg reports a missing end for some containers only. Each function here takes an open file and its size in bytes and
returns the shortfall in words, or "" if nothing contradicts the file's own statement.
"""

from __future__ import annotations

from collections.abc import Callable

from appliance.audio.mpeg import mp3_frame
from appliance.core.riff import HEADER_LIMIT, riff_header
from appliance.media.ebml import elements
from appliance.media.readable import Readable

PLACEHOLDER = 0x7FFF_0000
"""From this data size on, a WAV header was written before its size was known (``sox``, ``ffmpeg``, ``arecord``)."""
OGG_TAIL = 131_072
"""Bytes at the end of an Ogg file in which its last page begins; a page has at most 65,307 (RFC 3533, 6)."""
OGG_END = 4
"""Flag of the last page of a stream."""
CUT_OFF = "the file ends in the middle of its audio"


def wav(file: Readable, size: int) -> str:
    """Compare the size of the data chunk. A size of 0 or a placeholder means that the writer could not seek back."""
    head = file.read(HEADER_LIMIT)
    if head[:4] == b"RF64":
        at = head.find(b"ds64")
        start = riff_header(b"RIFF" + head[4:]) or 0
        stated = int.from_bytes(head[at + 16 : at + 24], "little") if at > 0 else 0
    else:
        start = riff_header(head) or 0
        stated = int.from_bytes(head[start - 4 : start], "little") if start else 0
    if not start or not stated or (head[:4] == b"RIFF" and stated >= PLACEHOLDER):
        return ""
    return _missing(stated, size - start)


def mp3(file: Readable, size: int) -> str:
    """Compare the number of bytes in the Xing or Info header, which encoders write that can seek."""
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])  # ID3v2, 3.1: seven bits a byte
    file.seek(start)
    frame = file.read(200)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if not mp3_frame(frame) or at < 0:
        return ""
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    where = at + 8 + (4 if flags & 1 else 0)
    return _missing(int.from_bytes(frame[where : where + 4], "big"), size - start) if flags & 2 else ""


def ogg(file: Readable, size: int) -> str:
    """Look for the end of the last page, and for its mark that the stream ends there (RFC 3533, 6)."""
    file.seek(max(0, size - OGG_TAIL))
    tail = file.read(OGG_TAIL)
    at = tail.rfind(b"OggS")
    page = tail[at:] if at >= 0 else b""
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return CUT_OFF
    return "" if page[5] & OGG_END else "the file has no mark that its audio ends"


def matroska(file: Readable, size: int) -> str:
    """Walk the elements: the last one has to end where the file ends. Live recordings have no size of the whole."""
    end: int | None = 0
    for element in elements(file, 0, size):
        end = element.end
    return "" if end is None or end == size else CUT_OFF


EXTENTS: dict[str, Callable[[Readable, int], str]] = {"wav": wav, "mp3": mp3, "ogg": ogg, "matroska": matroska}
"""By the first of FFmpeg's names of the container. The others state a duration, or their last frame does not decode."""


def _missing(stated: int, present: int) -> str:
    if stated <= present:
        return ""
    return f"{stated - present} of {stated} bytes of audio are missing at the end"
