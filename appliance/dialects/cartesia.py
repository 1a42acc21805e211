"""Cartesia, ``/stt/websocket``: audio as binary messages, commands as bare words, transcripts as JSON.

Serves both generations: ``done`` of the API of 2025 and ``close`` of that of 2026 are the same command. With the
endpoint that gives browsers their tokens. docs/dialects/cartesia.md.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from appliance.core.events import AnyEvent, Closed, Committed, Final, Partial, Word, seconds
from appliance.core.options import Endpointing, Mode, SessionOptions
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import (
    Answer,
    Command,
    Commit,
    Effect,
    Endpoint,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
    said,
    single,
)
from appliance.dialects.cartesia_common import (
    GOING_AWAY,
    ID_HEADER,
    LIMITS,
    REALM,
    SHOWN,
    audio_format,
    check_keyterms,
    error,
    failure,
    keys,
    language,
    number,
    refusal,
    refused,
)

COMMANDS: dict[str, Command] = {"finalize": Commit(), "done": Finish(), "close": Finish()}
"""Sent as bare words; some clients quote them, or send ``{"type": "finalize"}``."""
LONGEST_SILENCE_S = 60.0
LONGEST_TOKEN_S = 3600


class _Word(Struct):
    word: str
    start: float
    end: float


class _Transcript(Struct, tag="transcript", omit_defaults=True):
    """``duration`` is a final's own span, seconds; LiveKit adds up whatever it finds, so that interims have none."""

    is_final: bool
    request_id: str
    text: str
    language: str
    words: list[_Word]
    duration: float | None = None


class _Typed(Struct):
    type: str


class _Grants(Struct):
    stt: bool | None = None


class _TokenRequest(Struct):
    grants: _Grants | None = None
    expires_in: Annotated[float, Meta(gt=0, le=LONGEST_TOKEN_S)] | None = None


def _token(request: Request) -> TokenWish | Answer:
    """``POST /access-token``. A token without the ``stt`` grant is for something that is not here."""
    try:
        asked = msgspec.json.decode(request.body or b"{}", type=_TokenRequest)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as bad:
        return refused(Problem(Kind.BAD_OPTION, str(bad)))
    granted = asked.grants is None or bool(asked.grants.stt)
    return TokenWish(
        keys=keys(request.headers, single(request.query)),
        realm=REALM if granted else f"{REALM}:other",
        lifetime_s=asked.expires_in or LONGEST_TOKEN_S,
        single_use=False,
        answer=lambda token: Answer(200, msgspec.json.encode({"token": token}).decode()),
    )


class Cartesia:
    """One connection."""

    name = "cartesia"
    paths: tuple[str, ...] = ("/stt/websocket",)
    realm = REALM
    limits = LIMITS
    endpoints: tuple[Endpoint, ...] = (Endpoint("POST", "/access-token", _token, refused),)

    def __init__(self, code: str) -> None:
        self._language = code
        self._id = ""
        self._joint = ""
        self._told_until = 0
        self._finishing = False

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """The query; any model's name stands for the one that is installed."""
        asked = single(handshake.query)
        try:
            code = language(asked) or "en"
            check_keyterms(handshake.query)
            options = SessionOptions(
                audio=audio_format(asked), languages=(code,), endpointing=_endpointing(asked, handshake.endpointing)
            )
        except Refused as found:
            return refusal(found.problem)
        return Opening(
            dialect=cls(code),
            options=options,
            limits=handshake.limits,
            keys=keys(handshake.headers, asked),
            id_header=ID_HEADER,
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        return refusal(problem)

    def opening(self, session: SessionInfo) -> list[Effect]:
        """Nothing is said on this endpoint before something is heard."""
        self._id = session.id
        return []

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """Every message counts against idleness; nothing counts after the client has asked for the end."""
        if self._finishing:
            return []
        if isinstance(message, bytes):
            return [Hear(message) if message else KeepAlive()]
        command = COMMANDS.get(_word(message))
        if command is None:
            detail = f"{message[:SHOWN]!r}; expected audio or one of {', '.join(COMMANDS)}"
            return [KeepAlive(), self._error(Problem(Kind.BAD_MESSAGE, detail))]
        self._finishing = isinstance(command, Finish)
        return [KeepAlive(), command]

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial():
                return [self._transcript(event)]
            case Final(end=end):
                transcript = self._transcript(event)
                self._told_until = max(self._told_until, end)
                self._joint = " " if event.text else self._joint
                return [transcript]
            case Committed():
                return [self._mark("flush_done")]
            case Closed(problem=None):
                return [self._mark("done"), Hangup(1000)] if self._finishing else [GOING_AWAY]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        return failure(problem, self._id)

    def _transcript(self, event: Partial | Final) -> Send:
        """All text is joined without a separator, so that what follows a final brings its own blank."""
        final = isinstance(event, Final)
        return said(
            _Transcript(
                is_final=final,
                request_id=self._id,
                text=self._joint + event.text if event.text else "",
                language=self._language,
                words=[_timed(word) for word in event.words],
                duration=round(seconds(max(0, event.end - self._told_until)), 3) if final else None,
            )
        )

    def _mark(self, kind: str) -> Send:
        return said({"type": kind, "request_id": self._id})

    def _error(self, problem: Problem) -> Send:
        return said({"type": "error", **error(problem, self._id)})


def _word(message: str) -> str:
    """The command in a text message; empty when there is none."""
    text = message.strip()
    if not text.startswith("{"):
        return text.strip("\"'")
    try:
        return msgspec.json.decode(text, type=_Typed).type
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ""


def _timed(word: Word) -> _Word:
    """In seconds since the session's first sample."""
    return _Word(word.text, round(seconds(word.start), 3), round(seconds(word.end), 3))


def _endpointing(asked: dict[str, str], own: Endpointing) -> Endpointing:
    """The appliance's own, but for what the query says. Raises ``Refused``."""
    if asked.get("min_volume"):
        own = structs.replace(own, min_volume=number("min_volume", asked["min_volume"], 0, 1))
    if asked.get("max_silence_duration_secs"):
        name = "max_silence_duration_secs"
        silence = number(name, asked[name], 0, LONGEST_SILENCE_S)
        own = structs.replace(own, mode=Mode.VAD, silence_to_end_ms=round(silence * 1000))
    return own
