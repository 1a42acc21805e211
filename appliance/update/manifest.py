"""What a program says of itself, and what a bundle says of the program in it. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

FORMAT = 1
FILE = "release.json"
"""At the top of a program's tree."""
MANIFEST_BYTES = 64 << 10
"""A manifest has a few hundred; its bytes are read before anybody has vouched for them."""

Version = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}\Z")]
"""It names a folder."""
Python = Annotated[str, Meta(pattern=r"^3\.[0-9]{1,3}\Z")]
Bytes = Annotated[int, Meta(ge=1, le=4 << 30)]
Time = Annotated[int, Meta(ge=0)]


class NotTaken(Exception):
    """An update is refused; the message is a sentence a person can act on."""


class Release(Struct, frozen=True):
    """A program: when its source was made (unix seconds), and what it runs on."""

    version: Version
    built: Time
    arch: str
    pythons: tuple[Python, ...]


class Manifest(Release, frozen=True, kw_only=True):
    """The signed part of a bundle. The rest of it is what ``sha256`` says, or nothing."""

    format: int
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Bytes
    """Of the payload."""
    unpacked: Bytes
    """Of the archive in it: no more is ever written."""


class _Format(Struct):
    format: int


def manifest(data: bytes) -> Manifest:
    """Read one. Raises ``NotTaken``."""
    try:
        format_ = msgspec.json.decode(data, type=_Format).format
        if format_ == FORMAT:
            return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotTaken(f"its manifest cannot be understood: {error}") from error
    raise NotTaken(f"it is of format {format_} and this program knows format {FORMAT}: update to one in between first")


def release(data: bytes) -> Release | None:
    """What a program's own file says; ``None`` when it says nothing that can be understood."""
    try:
        return msgspec.json.decode(data, type=Release)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
