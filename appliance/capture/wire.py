"""What the reader process tells its supervisor: frames of a kind byte, a little-endian length and a payload. Pure."""

from __future__ import annotations

import enum
import struct

import msgspec
from msgspec import Struct

HEADER = struct.Struct("<BI")
LARGEST = 1 << 20
"""Bytes of payload; a reader's frame holds 20 ms of audio, so a longer one means that the stream is not ours."""


class State(enum.StrEnum):
    """What a microphone is doing. READY means open and delivering; in MUTED the card is closed on purpose."""

    ABSENT = "absent"
    READY = "ready"
    BUSY = "busy"
    LOST = "lost"
    MUTED = "muted"


class Opened(Struct, frozen=True):
    """The card is open: its full name, the rate in Hz and the channels it really runs with."""

    device: str
    rate: int
    channels: int


class Overrun(Struct, frozen=True):
    """``count`` overruns since the last report: the card's own, and blocks of 20 ms that nobody fetched in time."""

    count: int


class Failed(Struct, frozen=True):
    """The reader ends after this; ``state`` is ABSENT, BUSY or LOST."""

    state: State
    reason: str


Message = bytes | Opened | Overrun | Failed
"""``bytes`` is audio: s16le, mono, at the rate of the last Opened."""

KINDS: dict[type, int] = {Opened: 1, bytes: 2, Overrun: 3, Failed: 4}
TYPES = {kind: type_ for type_, kind in KINDS.items()}


class WireError(Exception):
    """The stream is not one of frames."""


def encode(message: Message) -> bytes:
    """One message as a frame."""
    payload = message if isinstance(message, bytes) else msgspec.json.encode(message)
    return HEADER.pack(KINDS[type(message)], len(payload)) + payload


class Parser:
    """Any chunking of a stream of frames in, whole messages out."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that ``chunk`` completes, in order. WireError when the stream cannot be one of frames."""
        self._pending += chunk
        messages: list[Message] = []
        start = 0
        while len(self._pending) - start >= HEADER.size:
            kind, length = HEADER.unpack_from(self._pending, start)
            if kind not in TYPES or length > LARGEST:
                raise WireError(f"no frame of ours: kind {kind}, length {length}")
            end = start + HEADER.size + length
            if end > len(self._pending):
                break
            messages.append(_decode(kind, bytes(self._pending[start + HEADER.size : end])))
            start = end
        del self._pending[:start]
        return messages


def _decode(kind: int, payload: bytes) -> Message:
    type_ = TYPES[kind]
    if type_ is bytes:
        return payload
    try:
        message: Message = msgspec.json.decode(payload, type=type_)
    except msgspec.MsgspecError as problem:
        raise WireError(f"bad {type_.__name__}: {problem}") from problem
    return message
