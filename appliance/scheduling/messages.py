"""What the daemon and its processes say to each other: tagged msgpack, each message behind its length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from appliance.core.events import AnyEvent
from appliance.core.options import Changes, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Problem
from appliance.core.segment import Origin
from appliance.engines.registry import ModelSpec

# daemon -> worker. ``seq`` numbers the entries of one session, so that a worker can say how far it has come.


class Open(Struct, frozen=True, tag="open"):
    """Begin a session, or continue one at ``origin``. Answered by a ``Report`` or by ``Failed``."""

    sid: int
    model: str
    options: SessionOptions
    origin: Origin


class Audio(Struct, frozen=True, tag="audio"):
    sid: int
    seq: int
    data: bytes
    begins: bool = False
    """A message of the client begins with ``data``, which may be a WAV header."""


class Commit(Struct, frozen=True, tag="commit"):
    sid: int
    seq: int


class Configure(Struct, frozen=True, tag="configure"):
    sid: int
    seq: int
    changes: Changes


class Finish(Struct, frozen=True, tag="finish"):
    sid: int
    seq: int


class Close(Struct, frozen=True, tag="close"):
    """Forget the session; nothing is said about it any more."""

    sid: int


class Measure(Struct, frozen=True, tag="measure"):
    """Recognise this audio (s16le, mono, 16 kHz) as fast as it goes. Answered by ``Measured``.

    No more of it is begun after ``limit_s``; the last words of what was heard by then take as long as they take. In so
    many sessions in turn, each beginning at another place in it.
    """

    model: str
    audio: bytes
    limit_s: float
    streams: int = 1


class Ease(Struct, frozen=True, tag="ease"):
    """Partials of all sessions come so many times more seldom than their clients asked for; 0: none at all."""

    slower: int


class Ping(Struct, frozen=True, tag="ping"):
    """Answered by ``Pong``, between two turns."""


ToWorker = Open | Audio | Commit | Configure | Finish | Close | Measure | Ease | Ping
Entry = Audio | Commit | Configure | Finish


class Report(Struct, frozen=True, tag="report"):
    """What came of a session's entries up to ``done``; ``consumed`` and ``origin`` are those of its ``Session``."""

    sid: int
    done: int
    consumed: int
    origin: Origin
    events: tuple[AnyEvent, ...]


class Failed(Struct, frozen=True, tag="failed"):
    """The session could not be opened or configured as asked; it is over."""

    sid: int
    problem: Problem


class Gone(Struct, frozen=True, tag="gone"):
    """The answer to ``Close``."""

    sid: int


class Measured(Struct, frozen=True, tag="measured"):
    """Processor seconds for so many seconds of audio, the end of the sessions included; what the first one heard.

    ``final_s``: seconds that the end of the first session took, which is how long its last final was awaited.
    """

    model: str
    cpu_s: float
    wall_s: float
    audio_s: float
    text: str
    final_s: float = 0.0


class Pong(Struct, frozen=True, tag="pong"):
    """``cpu_s``: processor seconds of the worker since it was forked."""

    cpu_s: float


ToDaemon = Report | Failed | Gone | Measured | Pong


# template -> daemon, as JSON lines


class Plan(Struct, frozen=True, kw_only=True):
    """What a template loads."""

    models: tuple[ModelSpec, ...]
    detector: str = "silero"
    niceness: int = 5
    """Of the workers, so that the event loop goes first when the machine is full."""


class Loading(Struct, frozen=True, tag="loading"):
    """Said before each model, so that a crash has a name."""

    name: str


class Loaded(Struct, frozen=True, tag="loaded"):
    capabilities: Capabilities


class Broken(Struct, frozen=True, tag="broken"):
    name: str
    reason: str


class Ready(Struct, frozen=True, tag="ready"):
    """Everything that can be loaded is; forks may be asked for."""


class Forked(Struct, frozen=True, tag="forked"):
    """The answer to a request for a worker, in the order of the requests."""

    pid: int


class Unforked(Struct, frozen=True, tag="unforked"):
    """The other answer, in the same order: there is none, for want of memory or processes."""

    reason: str


class Alive(Struct, frozen=True, tag="alive"):
    """The answer to a byte without a descriptor."""


class Exited(Struct, frozen=True, tag="exited"):
    """``status`` as ``os.waitstatus_to_exitcode`` gives it: negative for a signal."""

    pid: int
    status: int


FromTemplate = Loading | Loaded | Broken | Ready | Forked | Unforked | Alive | Exited

T = TypeVar("T")
LENGTH = 4


class Channel(Generic[T]):
    """Length-prefixed messages of one type out of a stream of bytes, however it was cut."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """Every message that is complete."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= LENGTH:
            end = at + LENGTH + int.from_bytes(buffer[at : at + LENGTH], "little")
            if len(buffer) < end:
                break
            yield self._decoder.decode(bytes(memoryview(buffer)[at + LENGTH : end]))
            at = end
        del buffer[:at]


_encoder = msgspec.msgpack.Encoder()


def packed(message: ToWorker | ToDaemon) -> bytes:
    """A message as it goes over the socket."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH, "little") + body
