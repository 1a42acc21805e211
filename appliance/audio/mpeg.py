"""MPEG audio frames (layers I to III) and ADTS frames (AAC): the length that each frame's header states.

MP3 and AAC files have no header of their own. They are recognised by frames that follow each other, and a cut in the
last frame shows that the end of a file is missing.
"""

from __future__ import annotations

from collections.abc import Callable

HEADER_BYTES = 7
"""Bytes of a frame that ``mp3_frame`` and ``adts_frame`` need at most."""
IN_A_ROW = 3
"""Frames that must follow each other. Two matching headers also occur in noise and in PCM."""
SEARCHED = 4_096
"""Bytes in which the first frame begins; encoders and cutting programs leave padding before it."""

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sample rates in Hz by the version bits: MPEG 1, 2 and 2.5 (ISO 11172-3, 2.4.2.3; ISO 13818-3)."""
LAYER_III_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
LAYER_III_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of layer III in kbit/s, of MPEG 1 and of MPEG 2 and 2.5."""
ADTS_RATES = 13
"""Sample rate codes from this one on are reserved or explicit (ISO 13818-7, table 35)."""


def mp3_frame(header: bytes) -> int:
    """Return the bytes of the layer III frame that begins with ``header`` (4 bytes), 0 if it is not such a frame."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version not in RATES or bitrate in (0, 15) or rate == 3:
        return 0
    bits, samples = (LAYER_III_1[bitrate], 144) if version == 3 else (LAYER_III_2[bitrate], 72)
    return samples * bits * 1000 // RATES[version][rate] + (header[2] >> 1 & 1)


def adts_frame(header: bytes) -> int:
    """Return the bytes of the ADTS frame that begins with ``header`` (7 bytes), 0 if it is not such a frame."""
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if header[2] >> 2 & 15 < ADTS_RATES and length > HEADER_BYTES else 0


def is_mp3(head: bytes) -> bool | None:
    """Return whether layer III frames follow each other in ``head``, the first bytes of a file or a stream.

    ``None`` means that ``head`` is too short: what there is of it fits.
    """
    return _in_a_row(head, mp3_frame, 0x0C)


def is_adts(head: bytes) -> bool | None:
    """Return whether ADTS frames follow each other in ``head``; ``None`` as ``is_mp3`` does."""
    return _in_a_row(head, adts_frame, 0x3C)


def _in_a_row(head: bytes, length_of: Callable[[bytes], int], rate_bits: int) -> bool | None:
    """Whether frames of one version and one sample rate begin after the zeros at the start of ``head``."""
    at = len(head) - len(head.lstrip(b"\0"))
    if at >= SEARCHED:
        return False
    kinds: set[tuple[int, int]] = set()
    for _ in range(IN_A_ROW):
        header = head[at : at + HEADER_BYTES]
        length = length_of(header)
        if not length:
            return None if kinds and len(header) < HEADER_BYTES else False
        kinds.add((header[1], header[2] & rate_bits))
        at += length
    return len(kinds) == 1
