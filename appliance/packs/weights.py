"""The file ``model.bin`` of a CTranslate2 model, checked for completeness without loading it.

Layout of version 6 (``src/models/model.cc`` of CTranslate2), little endian: version, name and revision of the
specification, number of variables; for each its name, shape, type, byte count and data; then the list of aliases.
A string is its length in 16 bits, then that many bytes.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

VERSION = 6
"""Layout that is understood here. Files of another layout are judged by their size alone."""
SMALLEST = 1_000_000
"""Bytes. The smallest Whisper model has 39 million parameters; even a test model has more than this."""
NAME = b"WhisperSpec"
MOST_VARIABLES = 100_000


class _TooShort(Exception):
    """The file ends before its layout does."""


def weights_problem(path: Path) -> str:
    """Return what is wrong with a Whisper ``model.bin``, in words; empty when it is complete.

    Reads the headers of the variables and skips their data: a few hundred seeks. Raises ``OSError``.
    """
    size = path.stat().st_size
    if size < SMALLEST:
        return f"has {size} bytes; a Whisper model has {SMALLEST} at least"
    with path.open("rb") as file:
        try:
            return _walk(file, size)
        except _TooShort:
            return f"is truncated: it ends after {size} bytes, in the middle of the weights"


def _walk(file: IO[bytes], size: int) -> str:
    if _number(file, "I") != VERSION:
        return ""
    name = _string(file).rstrip(b"\0")
    if name != NAME:
        return f"holds a {name[:40].decode(errors='replace')!r}; a Whisper model is a 'WhisperSpec'"
    _number(file, "I")  # revision
    variables = _number(file, "I")
    if variables > MOST_VARIABLES:
        return f"is damaged: it lists {variables} variables"
    for _ in range(variables):
        _string(file)
        rank = _number(file, "B")
        _skip(file, 4 * rank + 1, size)  # shape and type
        _skip(file, _number(file, "I"), size)
    for _ in range(2 * _number(file, "I")):  # aliases, each a pair of names
        _string(file)
    surplus = size - file.tell()
    return f"is damaged: {surplus} bytes follow the weights" if surplus else ""


def _number(file: IO[bytes], kind: str) -> int:
    length = struct.calcsize(f"<{kind}")
    data = file.read(length)
    if len(data) < length:
        raise _TooShort
    return int(struct.unpack(f"<{kind}", data)[0])


def _string(file: IO[bytes]) -> bytes:
    length = _number(file, "H")
    data = file.read(length)
    if len(data) < length:
        raise _TooShort
    return data


def _skip(file: IO[bytes], length: int, size: int) -> None:
    if file.tell() + length > size:
        raise _TooShort
    file.seek(length, os.SEEK_CUR)
