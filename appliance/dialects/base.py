"""The contract of a dialect: a codec without I/O between one cloud's wire format and the neutral session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from appliance.core.events import AnyEvent
from appliance.core.options import Changes, Endpointing, Limits, SessionOptions
from appliance.core.problems import Kind, Problem


class Handshake(Struct, frozen=True):
    """A WebSocket upgrade request. Header names are lower case; a repeated query key appears repeatedly."""

    path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    endpointing: Endpointing = Endpointing()
    """The appliance's own, for what the dialect leaves open."""


class SessionInfo(Struct, frozen=True):
    """What is known once a session exists. ``clock`` gives unix seconds."""

    id: str
    language: str
    model: str
    clock: Callable[[], float]


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


class Opening(Struct, frozen=True, kw_only=True):
    """A handshake that makes sense: the connection's codec, the session it wants, and who asks."""

    dialect: Dialect
    options: SessionOptions
    limits: Limits
    key: str | None
    """The API key as it came; whether it is good is for ``accounts`` to say."""


class Dialect(Protocol):
    """One instance per connection; the class side reads handshakes."""

    name: str
    paths: tuple[str, ...]

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


__all__ = [
    "Command",
    "Commit",
    "Configure",
    "Dialect",
    "Effect",
    "Finish",
    "Handshake",
    "Hangup",
    "Hear",
    "KeepAlive",
    "Kind",
    "Opening",
    "Problem",
    "Refusal",
    "Send",
    "SessionInfo",
]
