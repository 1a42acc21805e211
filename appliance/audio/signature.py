"""What a file or a stream is, by its first bytes: audio containers, and other files that clients send by mistake.

One table serves uploads, ``transcribe`` and streams. In a stream that should be PCM, the same bytes show that a client
sends a container.
"""

from __future__ import annotations

from msgspec import Struct

from appliance.audio.mpeg import is_adts, is_mp3

HEAD_BYTES = 8_192
"""First bytes that ``recognise`` looks at; three MP3 frames of 320 kbit/s are 4,320 bytes."""
ACCEPTED = "WAV, AIFF, CAF, AU, FLAC, Ogg, MP3, AAC, M4A, MP4, WebM, Matroska, AMR, WMA and MPEG-TS"
"""The containers that are decoded, for error messages."""
TS_PACKET = 188
"""Bytes of an MPEG transport stream packet (ISO 13818-1)."""


class Signature(Struct, frozen=True):
    """A kind of file: ``name`` for people, ``demuxers`` are FFmpeg's names, empty if it is not audio."""

    name: str
    demuxers: tuple[str, ...] = ()

    @property
    def audio(self) -> bool:
        """The decoder can read it."""
        return bool(self.demuxers)


WAV = Signature("WAV", ("wav",))
MP3 = Signature("MP3", ("mp3",))
AAC = Signature("AAC", ("aac",))
TS = Signature("MPEG-TS", ("mpegts",))
MP4 = Signature("MP4 or M4A", ("mov",))
TAGGED = Signature("MP3 or AAC with ID3 tags", ("mp3", "aac", "flac"))

TABLE: tuple[tuple[int, bytes, Signature], ...] = (
    (0, b"fLaC", Signature("FLAC", ("flac",))),
    (0, b"OggS", Signature("Ogg", ("ogg",))),
    (0, b"\x1a\x45\xdf\xa3", Signature("WebM or Matroska", ("matroska",))),
    (0, b"ID3", TAGGED),
    (0, b"RF64", WAV),
    (0, b"riff\x2e\x91\xcf\x11", Signature("W64", ("w64",))),
    (0, b"caff", Signature("CAF", ("caf",))),
    (0, b".snd", Signature("AU", ("au",))),
    (0, b"#!AMR", Signature("AMR", ("amr",))),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Signature("WMA", ("asf",))),
    (4, b"ftyp", MP4),
    (4, b"moov", MP4),
    (4, b"styp", MP4),
    (4, b"mdat", MP4),
    (4, b"wide", MP4),
    (0, b"\x1f\x8b\x08", Signature("a gzip archive")),
    (0, b"PK\x03\x04", Signature("a zip archive")),
    (0, b"7z\xbc\xaf\x27\x1c", Signature("a 7z archive")),
    (0, b"\x28\xb5\x2f\xfd", Signature("a zstd archive")),
    (0, b"%PDF-", Signature("a PDF document")),
    (0, b"\x89PNG\r\n", Signature("a PNG image")),
    (0, b"\xff\xd8\xff\xe0", Signature("a JPEG image")),
    (0, b"<!DOCTYPE", Signature("an HTML page")),
    (0, b"<html", Signature("an HTML page")),
    (0, b"\x7fELF", Signature("a program")),
)
"""Position, bytes and what they mean."""
CHUNKED: dict[tuple[bytes, bytes], Signature] = {
    (b"RIFF", b"WAVE"): WAV,
    (b"RIFX", b"WAVE"): WAV,
    (b"FORM", b"AIFF"): Signature("AIFF", ("aiff",)),
    (b"FORM", b"AIFC"): Signature("AIFF", ("aiff",)),
}
"""Files of chunks, by the first and the third four bytes."""


def recognise(head: bytes) -> Signature | None:
    """Return what begins with ``head``, at most ``HEAD_BYTES`` of which are looked at; ``None`` if it is unknown.

    Raw PCM is unknown, except for a chance of one in four billion that its first samples are one of the signatures.
    """
    head = head[:HEAD_BYTES]
    for at, magic, signature in TABLE:
        if head.startswith(magic, at):
            return signature
    if (chunks := CHUNKED.get((head[:4], head[8:12]))) is not None:
        return chunks
    if is_mp3(head):
        return MP3
    if is_adts(head):
        return AAC
    if len(head) > 2 * TS_PACKET and set(head[: 3 * TS_PACKET : TS_PACKET]) == {0x47}:
        return TS
    return None


def undecided(head: bytes) -> bool:
    """Return whether ``head``, which is unknown so far, can turn out to be MP3 or AAC with more bytes."""
    return is_mp3(head) is None or is_adts(head) is None
