"""A text file as it comes from Notepad, a phone or a word processor, to names and values. Any bytes are read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from msgspec import Struct

SIZE_MAX = 256 * 1024
"""Bytes of a file that a person writes; UTF-16 of the whole template with everything used is a tenth of it."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SPACE = "\t\x0b\x0c \xa0\u1680\u202f\u205f\u3000\u00ad\u200b\u200e\u200f\u2060\ufeff" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)
"""What nobody sees at the ends of a value: spaces of all kinds and marks without width."""
_QUOTES = (
    ('"\u201c\u201d\u201e\u201f\u00ab\u00bb', '"\u201c\u201d\u00ab\u00bb'),
    ("'\u2018\u2019\u201a", "'\u2018\u2019"),
)
"""Opening and closing ones, double and single: which closes which is different in every language."""


class Line(Struct, frozen=True):
    """A line that is no comment. ``name`` is None when it has no equals sign."""

    number: int
    name: str | None
    value: str


def decode(data: bytes) -> str:
    """Text of UTF-8, UTF-16 of either kind, or of Windows' western code page. Never fails."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    if data[1::2].count(0) * 4 > len(data):  # half of the characters at least have a zero byte: UTF-16 without a mark
        return data.decode("utf-16-le", errors="replace")
    if data[0::2].count(0) * 4 > len(data):
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def lines(text: str) -> Iterator[Line]:
    """What is neither empty nor a comment, numbered as an editor does. A ``#`` further on belongs to the value."""
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        stripped = line.strip(_SPACE)
        if not stripped or stripped.startswith("#"):
            continue
        name, sign, value = stripped.partition("=")
        if sign:
            yield Line(number, _name(name), unquoted(value.strip(_SPACE)))
        else:
            yield Line(number, None, "")


def unquoted(value: str) -> str:
    """Without one pair of quotes around it, if there is one; what is between them stays as it is, spaces too."""
    for opening, closing in _QUOTES:
        if len(value) >= 2 and value[0] in opening and value[-1] in closing:
            return value[1:-1]
    return value


def _name(text: str) -> str:
    """``Wifi_Password`` and ``wifi password`` are ``wifi-password``."""
    return re.sub(r"[\s_\u2010-\u2015-]+", "-", text.strip(_SPACE).lower())
