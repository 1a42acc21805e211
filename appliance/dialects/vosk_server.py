"""vosk-server's own protocol, at ``/vosk``: every message of audio is answered with exactly one message of text.

Facts from GitHub alphacep/vosk-server (websocket/asr_server.py and its clients, May 2025) and alphacep/vosk-api
(src/recognizer.cc, for the form of results). docs/dialects/vosk_server.md.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from appliance.core.events import AnyEvent, Closed, Committed, Final, Heard, Partial, seconds
from appliance.core.options import AudioFormat, Changes, Limits, Mode, SessionOptions
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Command,
    Commit,
    Configure,
    Effect,
    Endpoint,
    Finish,
    Handshake,
    Hear,
    Opening,
    Refusal,
    Send,
    SessionInfo,
    api_key,
    hangup,
    said,
)

RATE = 8_000
"""The server's default (``VOSK_SAMPLE_RATE``), Hz."""
SILENCE_MS = 500
"""Silence that ends an utterance: rule 2 of the endpointing in the configuration of Vosk's small models."""
PARTIAL_MS = 200
"""The audio of one message in the server's own clients, each of which is answered with what is new."""
OUTSTANDING = 10_000
"""Messages without an answer, at most: twice what a minute in pieces of 10 ms needs."""
ANONYMOUS = "anonymous"
"""The key of a client that has none; good in an open house only."""
EOF_BYTES = 64
"""A longer binary message is audio. The C++ server takes ``{"eof" : 1}`` as a binary message, which pipes through
``websocat --binary`` send; other clients spell the JSON otherwise."""

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
"""HTTP status of a refusal; 400 for all others. The protocol has no errors of its own."""
CLOSE: dict[Kind, int] = {Kind.SHUTTING_DOWN: 1001, Kind.MESSAGE_TOO_BIG: 1009, Kind.ENGINE_FAILED: 1011}
"""Close code of a problem; 1008 for all others."""


class _Config(Struct, frozen=True):
    """``config``: what is absent stays as it is. Unknown keys are ignored, as there."""

    sample_rate: Annotated[float, Meta(ge=4_000, le=192_000)] | None = None
    phrase_list: tuple[str, ...] | None = None
    words: bool | None = None
    max_alternatives: int | None = None


class _Query(_Config, frozen=True):
    """Our own extension, for clients that count on the server's environment variables."""

    language: str = ""
    key: str = ""


class _Word(Struct, frozen=True, omit_defaults=True):
    start: float
    end: float
    word: str
    conf: float | None = None
    """Not in alternatives."""


class _Result(Struct, frozen=True, omit_defaults=True):
    text: str
    result: tuple[_Word, ...] = ()
    """Absent when there are no words, or none are wanted."""
    confidence: float | None = None
    """Only in alternatives."""


class _Owed(Struct):
    """An answer that a message has not had yet."""

    until: int | None
    """Bytes of audio that must have been dealt with first; ``None``: its commit."""
    result: bool = False
    """It has to be a result, even an empty one."""


class VoskServer:
    """One connection. Audio and ``reset`` are answered in their order; ``_owed`` are those that are not yet."""

    name = "vosk_server"
    paths: tuple[str, ...] = ("/vosk", "/")
    realm = "vosk_server"
    limits = Limits()
    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, config: _Config) -> None:
        self._words = True
        self._alternatives = False
        self._received = self._heard = 0
        self._owed: deque[_Owed] = deque()
        self._finals: list[Final] = []
        """Not told yet."""
        self._partial = ""
        self._ending = self._failed = False
        self._form(config)

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """The original asks for nothing; here the query can say what ``config`` can, and a language and a key."""
        query: dict[str, Any] = dict(handshake.query)
        phrases = [value for name, value in handshake.query if name == "phrase_list"]
        try:
            asked = msgspec.convert({**query, "phrase_list": phrases or None}, _Query, strict=False)
        except (msgspec.ValidationError, UnicodeError) as error:
            return cls.refuse(Problem(Kind.BAD_OPTION, str(error)), handshake)
        options = SessionOptions(
            audio=AudioFormat(rate=round(asked.sample_rate or RATE)),
            languages=(re.split("[-_]", asked.language.lower())[0],) if asked.language else (),
            endpointing=structs.replace(handshake.endpointing, mode=Mode.VAD, silence_to_end_ms=SILENCE_MS),
            partial_ms=PARTIAL_MS,
            phrases=_phrases(asked) or (),
            acknowledge=True,
        )
        key = asked.key or api_key(handshake.headers.get("authorization", ""))
        return Opening(dialect=cls(asked), options=options, limits=handshake.limits, keys=(key or ANONYMOUS,))

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        body = msgspec.json.encode({"error": problem.kind, "message": problem.message}).decode()
        return Refusal(status=STATUS.get(problem.kind, 400), body=body)

    def opening(self, session: SessionInfo) -> list[Effect]:
        return []

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """After ``eof`` nothing counts."""
        if self._ending:
            return []
        if isinstance(message, str):
            return self._command(message)
        if _is_eof(message):
            return self._finish()
        self._received += len(message)
        return self._owe(_Owed(self._received), *([Hear(message)] if message else []))

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial():
                self._partial = event.text
            case Final():
                self._partial = ""
                self._finals.append(event)
                return [self._result()] if self._failed else []
            case Heard():
                self._heard = event.wire
                return self._answers()
            case Committed():
                return self._committed()
            case Closed():
                return self._last(event.problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        """There are no words for it: what was and will be heard is told at once, then the close says why."""
        self._ending = self._failed = True
        told = [self._result()] if self._finals else []
        return [*told, hangup(CLOSE.get(problem.kind, 1008), problem.message)]

    # what the client says

    def _command(self, message: str) -> list[Command | Effect]:
        """``config``, ``eof`` or ``reset``. Anything else ends the original too, with an exception."""
        try:
            match msgspec.json.decode(message):
                case {"config": config}:
                    return self._configure(msgspec.convert(config, _Config, strict=False))
                case {"eof": _}:
                    return self._finish()
                case {"reset": _}:
                    return self._owe(_Owed(None, result=True), Commit())
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return list(self.fail(Problem(Kind.BAD_MESSAGE, str(error))))
        return list(self.fail(Problem(Kind.BAD_MESSAGE, "expected config, eof or reset")))

    def _configure(self, config: _Config) -> list[Command | Effect]:
        """Has no answer. The rate counts before the first audio; the rest at any time."""
        self._form(config)
        rate = config.sample_rate if not self._received else None
        changes = Changes(audio=AudioFormat(rate=round(rate)) if rate else None, phrases=_phrases(config))
        return [Configure(changes)] if changes != Changes() else []

    def _form(self, config: _Config) -> None:
        """The form of the results."""
        if config.words is not None:
            self._words = config.words
        if config.max_alternatives is not None:
            self._alternatives = config.max_alternatives > 0

    def _finish(self) -> list[Command | Effect]:
        self._ending = True
        return [Finish()]

    def _owe(self, owed: _Owed, *commands: Command) -> list[Command | Effect]:
        if len(self._owed) >= OUTSTANDING:
            return list(self.fail(Problem(Kind.TOO_FAST, f"{OUTSTANDING} messages have no answer yet")))
        self._owed.append(owed)
        return [*commands, *self._answers()]

    # what it is told

    def _answers(self) -> list[Effect]:
        """To all messages whose audio has been dealt with: a result if there is one, else the text so far."""
        effects: list[Effect] = []
        while self._owed and self._owed[0].until is not None and self._owed[0].until <= self._heard:
            result = self._owed.popleft().result or self._finals
            effects.append(self._result() if result else said({"partial": self._partial}))
        return effects

    def _committed(self) -> list[Effect]:
        """The first ``reset`` that waits, if one does, has what it waits for."""
        for owed in self._owed:
            if owed.until is None:
                owed.until = 0
                break
        return self._answers()

    def _last(self, problem: Problem | None) -> list[Effect]:
        """The answer to ``eof``, or, when something else ends the session, what was heard and why it ends."""
        if problem is None and self._ending:
            return [self._result(), hangup(1000, "")]
        return self.fail(problem or Problem(Kind.SHUTTING_DOWN))

    def _result(self) -> Send:
        """All that is not told yet, as one; an empty text when that is nothing."""
        finals, self._finals = self._finals, []
        text = " ".join(final.text for final in finals)
        words = [word for final in finals for word in final.words] if self._words else []
        timed = tuple(
            _Word(
                start=round(seconds(word.start), 3),
                end=round(seconds(word.end), 3),
                word=word.text,
                conf=None if self._alternatives else round(word.confidence, 6),
            )
            for word in words
        )
        if not self._alternatives:
            return said(_Result(text, timed))
        confidence = min((final.confidence for final in finals), default=1.0)
        return said({"alternatives": [_Result(text, timed, round(confidence, 6))]})


def _is_eof(message: bytes) -> bool:
    """Tell whether a binary message is the JSON object ``{"eof": 1}``, in any spelling, and not audio."""
    if len(message) > EOF_BYTES or not message.lstrip().startswith(b"{"):
        return False
    try:
        return "eof" in msgspec.json.decode(message, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False


def _phrases(config: _Config) -> tuple[str, ...] | None:
    """The grammar that a phrase list makes; an empty one is none."""
    return None if config.phrase_list is None else tuple(config.phrase_list)
