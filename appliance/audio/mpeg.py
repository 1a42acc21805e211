"""MPEG audio frames (layers I to III) and ADTS frames (AAC): the length that each frame's header states.

MP3 and AAC files have no header of their own. They are recognised by frames that follow each other, and a cut in the
last frame shows that the end of a file is missing.
"""

from __future__ import annotations

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


def is_mp3(head: bytes) -> bool:
    """Return whether layer III frames follow each other in ``head``, the first bytes of a file or a stream."""
    return any(_frames(head, at, mp3=True) for at in _syncs(head))


def is_adts(head: bytes) -> bool:
    """Return whether ADTS frames follow each other in ``head``, the first bytes of a file or a stream."""
    return any(_frames(head, at, mp3=False) for at in _syncs(head))


def _syncs(head: bytes) -> list[int]:
    """Positions at which a frame can begin: only zeros come before the first one."""
    start = len(head) - len(head.lstrip(b"\0"))
    return [start] if start < min(len(head), SEARCHED) else []


def _frames(head: bytes, at: int, *, mp3: bool) -> bool:
    """Whether enough frames of one kind begin at ``at``. ``head`` may end within the last of them."""
    length_of = mp3_frame if mp3 else adts_frame
    kind = head[at + 1 : at + 2], head[at + 2 : at + 3] and head[at + 2] & (0x0C if mp3 else 0x3C)
    for _ in range(IN_A_ROW):
        header = head[at : at + HEADER_BYTES]
        length = length_of(header)
        if not length or (header[1:2], header[2] & (0x0C if mp3 else 0x3C)) != kind:
            return False
        at += length
    return True
