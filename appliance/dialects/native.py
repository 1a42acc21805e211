"""The appliance's own protocol, ``/v1/stream``: the neutral session without a cloud's costume.

For clients written for this box, the demonstration and the measurements. Audio comes as binary messages in the format
the query names; ``{"type": "commit"}`` and ``{"type": "finish"}`` are the commands; the events of ``core.events`` go
out as JSON with times in seconds. docs/dialects/native.md.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, structs

from appliance.core.events import AnyEvent, Closed, Word, seconds
from appliance.core.options import (
    MULTILINGUAL,
    RATES,
    AudioFormat,
    Endpointing,
    Limits,
    Milliseconds,
    SessionOptions,
)
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Command,
    Commit,
    Containers,
    Effect,
    Endpoint,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Refusal,
    Send,
    SessionInfo,
    api_key,
    hangup,
    said,
)

TIMES = frozenset({"at", "start", "end", "audio"})
"""Fields that count samples in the events and seconds on the wire."""
STATUS: dict[Kind, int] = {
    Kind.NO_KEY: 401,
    Kind.BAD_KEY: 401,
    Kind.QUOTA_EXCEEDED: 403,
    Kind.NOT_ALLOWED: 403,
    Kind.TERMS_NOT_ACCEPTED: 403,
    Kind.NO_MODEL: 404,
    Kind.TOO_MANY_SESSIONS: 429,
    Kind.TOO_MANY_STREAMS: 429,
    Kind.RATE_LIMITED: 429,
    Kind.NOT_READY: 503,
    Kind.SHUTTING_DOWN: 503,
}
"""HTTP status of a refusal; 400 for all others."""
CLOSE: dict[Kind, int] = {Kind.ENGINE_FAILED: 1011, Kind.SHUTTING_DOWN: 1012, Kind.MESSAGE_TOO_BIG: 1009}
"""Close code of a problem; 1008 for all others."""


class _Query(Struct, frozen=True, forbid_unknown_fields=True):
    """What the query may say; the endpointing's own fields come beside these."""

    key: str | None = None
    language: str | None = None
    partial_ms: Milliseconds = 250
    phrase: tuple[str, ...] = ()
    numerals: bool = False


class _Message(Struct, frozen=True):
    type: str


def encoded(event: AnyEvent) -> str:
    """An event as JSON: its fields, times in seconds since the session's first sample, to the millisecond."""
    return msgspec.json.encode({"type": event.__struct_config__.tag, **_fields(event)}).decode()


def _fields(struct: Struct) -> dict[str, Any]:
    fields = structs.asdict(struct)
    for name, value in fields.items():
        if name in TIMES:
            fields[name] = round(seconds(value), 3)
        elif name == "words":
            fields[name] = [_fields(word) for word in value if isinstance(word, Word)]
    return fields


def _taken(query: dict[str, Any], kind: type[Struct]) -> dict[str, Any]:
    """The parameters that are fields of ``kind``; they are gone from the query."""
    return {name: query.pop(name) for name in kind.__struct_fields__ if name in query}


def _languages(asked: str) -> tuple[str, ...]:
    """Return the languages of the parameter ``language``: one code, several with commas, or "auto" for any."""
    codes = tuple(code.strip().lower() for code in asked.split(",") if code.strip())
    return (MULTILINGUAL,) if "auto" in codes else codes


class Native:
    """One connection."""

    name = "native"
    paths: tuple[str, ...] = ("/v1/stream",)
    realm = "native"
    limits = Limits()
    endpoints: tuple[Endpoint, ...] = ()

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """Every parameter that is not known or has a bad value is named."""
        query: dict[str, Any] = {}
        for name, value in handshake.query:
            if name == "phrase":
                query.setdefault(name, []).append(value)
            else:
                query[name] = value
        try:
            audio = msgspec.convert(_taken(query, AudioFormat), AudioFormat, strict=False)
            own = structs.asdict(handshake.endpointing)
            endpointing = msgspec.convert({**own, **_taken(query, Endpointing)}, Endpointing, strict=False)
            asked = msgspec.convert(query, _Query, strict=False)
        except msgspec.ValidationError as error:
            return cls.refuse(Problem(Kind.BAD_OPTION, str(error)), handshake)
        if audio.rate not in RATES or audio.channels not in (1, 2):
            detail = f"rate is one of {', '.join(map(str, RATES))}; channels 1 or 2"
            return cls.refuse(Problem(Kind.BAD_RATE, detail), handshake)
        options = SessionOptions(
            audio=audio,
            languages=_languages(asked.language or ""),
            endpointing=endpointing,
            partial_ms=asked.partial_ms,
            phrases=asked.phrase,
            numerals=asked.numerals,
        )
        key = asked.key or api_key(handshake.headers.get("authorization", ""))
        return Opening(
            dialect=cls(),
            options=options,
            limits=handshake.limits,
            keys=(key,) if key else (),
            containers=Containers.ALLOWED,
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        body = msgspec.json.encode({"error": problem.kind, "message": problem.message}).decode()
        return Refusal(status=STATUS.get(problem.kind, 400), body=body)

    def opening(self, session: SessionInfo) -> list[Effect]:
        begin = {"type": "begin", "session": session.id, "model": session.model, "language": session.language}
        return [said(begin)]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        if isinstance(message, bytes):
            return [Hear(message)] if message else []
        try:
            kind = msgspec.json.decode(message, type=_Message).type
        except (msgspec.DecodeError, RecursionError) as error:
            return list(self.fail(Problem(Kind.BAD_MESSAGE, str(error))))
        commands: dict[str, Command] = {"commit": Commit(), "finish": Finish(), "keep_alive": KeepAlive()}
        if kind not in commands:
            return list(self.fail(Problem(Kind.BAD_MESSAGE, f"type {kind[:40]!r}; expected {', '.join(commands)}")))
        return [commands[kind]]

    def emit(self, event: AnyEvent) -> list[Effect]:
        if isinstance(event, Closed) and event.problem is not None:
            return self.fail(event.problem)
        told: list[Effect] = [Send(encoded(event))]
        if isinstance(event, Closed):
            told.append(Hangup(1000))
        return told

    def fail(self, problem: Problem) -> list[Effect]:
        error = {"type": "error", "error": problem.kind, "message": problem.message}
        return [
            said(error),
            hangup(CLOSE.get(problem.kind, 1008), problem.message),
        ]
