"""The contract of a dialect: a codec without I/O between one cloud's wire format and the neutral session."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from appliance.core.events import AnyEvent, Final
from appliance.core.options import AudioFormat, Changes, Endpointing, Limits, SessionOptions
from appliance.core.problems import Kind, Problem

REASON_BYTES = 123
BEARER = re.compile(r"^bearer(\s+|$)", re.IGNORECASE)


class Handshake(Struct, frozen=True):
    """A WebSocket upgrade request. Header names are lower case; a repeated query key appears repeatedly."""

    path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    endpointing: Endpointing = Endpointing()
    """The appliance's own, for what the dialect leaves open."""
    limits: Limits = Limits()
    """The dialect's own, with what the owner has set otherwise."""


class SessionInfo(Struct, frozen=True):
    """What is known once a session exists. ``id`` is a UUID of version 4; ``clock`` gives unix seconds."""

    id: str
    language: str
    model: str
    clock: Callable[[], float]
    resumed: bool = False
    """It goes on after its socket was lost; what was not delivered follows the opening."""
    longest_s: float | None = None
    """How long it may last, when a token says so or the limits do."""


# effects: what the server is to do


class Send(Struct, frozen=True):
    """One text message."""

    text: str


class Hangup(Struct, frozen=True):
    """Close the socket; nothing may follow."""

    code: int
    reason: str = ""


Effect = Send | Hangup


# commands: what the client wants of the session


class Hear(Struct, frozen=True):
    """Audio in the format of the session's options."""

    data: bytes


class Commit(Struct, frozen=True):
    """End the segment here."""


class Configure(Struct, frozen=True):
    changes: Changes


class Finish(Struct, frozen=True):
    """No more audio; tell what is left, then end."""


class KeepAlive(Struct, frozen=True):
    """Counts against idleness and does nothing."""


Command = Hear | Commit | Configure | Finish | KeepAlive


class Refusal(Struct, frozen=True, kw_only=True):
    """No session: an HTTP answer before the upgrade, or, where a dialect refuses in-band, messages and a close."""

    status: int = 0
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    effects: tuple[Effect, ...] = ()


class Containers(enum.Enum):
    """Whether the audio of a stream may be, or has to be, in a container such as WebM or Ogg."""

    REFUSED = enum.auto()
    ALLOWED = enum.auto()
    REQUIRED = enum.auto()


class Opening(Struct, frozen=True, kw_only=True):
    """A handshake that makes sense: the connection's codec, the session it wants, and who asks."""

    dialect: Dialect
    options: SessionOptions
    limits: Limits
    keys: tuple[str, ...]
    """API keys and tokens as they came, those that count first; whether one is good is for ``accounts`` to say."""
    resume: str | None = None
    """The session that is to go on; then the dialect and the options are that one's, and these are not used."""
    containers: Containers = Containers.REFUSED
    """With a container, ``options.audio`` counts only for what is not one."""
    id_header: str = ""
    """A header of the upgrade's answer that shall carry the session's id."""


# beside the WebSocket: plain HTTP


class Request(Struct, frozen=True):
    """An HTTP request as ``Handshake`` has it. ``body`` is empty where the endpoint takes uploads."""

    path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes = b""
    endpointing: Endpointing = Endpointing()


class Answer(Struct, frozen=True):
    """An HTTP response."""

    status: int
    body: str
    media: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class TokenWish(Struct, frozen=True, kw_only=True):
    """A token is wanted, good for the dialects of ``realm``."""

    keys: tuple[str, ...]
    realm: str
    lifetime_s: float
    single_use: bool
    answer: Callable[[str], Answer]
    """With the token."""
    longest_s: float | None = None
    """Of the session that is opened with it."""
    prefix: str = ""


class Transcript(Struct, frozen=True):
    """What was said in an upload of so many samples at 16 kHz."""

    finals: tuple[Final, ...]
    audio: int
    language: str
    shortfall: str = ""
    """What of the recording is missing, because it was cut off or is damaged; "" if it is complete."""


class Upload(Struct, frozen=True, kw_only=True):
    """The body is audio, to be transcribed as a whole."""

    keys: tuple[str, ...]
    options: SessionOptions
    """``audio`` is ignored where the file says how it is encoded."""
    raw: AudioFormat | None
    """What the body is when it is no file."""
    answer: Callable[[Transcript], Answer]


class Endpoint(Struct, frozen=True):
    """One method of one path. ``path`` may have ``{name}`` parts."""

    method: str
    path: str
    read: Callable[[Request], TokenWish | Upload | Answer]
    refuse: Callable[[Problem], Answer]
    upload: bool = False
    """The body is audio of any length; ``read`` does not get it."""


class Dialect(Protocol):
    """One instance per connection; the class side reads handshakes."""

    name: str
    paths: tuple[str, ...]
    """Of the WebSocket; they may have ``{name}`` parts."""
    realm: str
    """Dialects of one realm take each other's tokens."""
    limits: Limits
    """As the service documents them."""
    endpoints: tuple[Endpoint, ...]

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """Read a handshake; refuse what the dialect would refuse by itself."""

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        """A refusal found by the server: the key, the language, the load."""

    def opening(self, session: SessionInfo) -> list[Effect]:
        """What is said first, before anything is heard."""

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """A message of the client. Never raises for what a client may send."""

    def emit(self, event: AnyEvent) -> list[Effect]:
        """What the client is told of an event."""

    def fail(self, problem: Problem) -> list[Effect]:
        """The session ends with a problem: the dialect's words, then a ``Hangup``."""


# small things every codec needs


def said(message: Struct | Mapping[str, object]) -> Send:
    """A message as JSON."""
    return Send(msgspec.json.encode(message).decode())


def hangup(code: int, reason: str) -> Hangup:
    """A close whose reason fits into its frame: 123 bytes (RFC 6455, 5.5)."""
    return Hangup(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


def api_key(authorization: str) -> str:
    """Return the key in an ``Authorization`` header, with or without ``Bearer`` in any case (RFC 9110, 11.1)."""
    return BEARER.sub("", authorization.strip()).strip()


def single(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each parameter once; the last one counts."""
    return dict(query)


__all__ = [
    "Answer",
    "Command",
    "Commit",
    "Configure",
    "Containers",
    "Dialect",
    "Effect",
    "Endpoint",
    "Finish",
    "Handshake",
    "Hangup",
    "Hear",
    "KeepAlive",
    "Kind",
    "Opening",
    "Problem",
    "Refusal",
    "Request",
    "Send",
    "SessionInfo",
    "TokenWish",
    "Transcript",
    "Upload",
    "api_key",
    "hangup",
    "said",
    "single",
]
