"""Everything that can go wrong for a client, named once. Dialects translate a problem into their own words."""

from __future__ import annotations

import enum

from msgspec import Struct


class Kind(enum.StrEnum):
    """A neutral name; the value is what metrics and logs call it."""

    NO_KEY = "no_key"
    BAD_KEY = "bad_key"
    BAD_RATE = "bad_rate"
    BAD_ENCODING = "bad_encoding"
    BAD_OPTION = "bad_option"
    BAD_MESSAGE = "bad_message"
    UNKNOWN_LANGUAGE = "unknown_language"
    NO_MODEL = "no_model"
    NOT_READY = "not_ready"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_MANY_SESSIONS = "too_many_sessions"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    NOT_ALLOWED = "not_allowed"
    TERMS_NOT_ACCEPTED = "terms_not_accepted"
    UNKNOWN_SESSION = "unknown_session"
    SESSION_CLOSED = "session_closed"
    SESSION_EXPIRED = "session_expired"
    SESSION_TAKEN = "session_taken"
    SESSION_REPLACED = "session_replaced"
    BAD_AUDIO = "bad_audio"
    MESSAGE_TOO_BIG = "message_too_big"
    QUEUE_OVERFLOW = "queue_overflow"
    CLIENT_TOO_SLOW = "client_too_slow"
    TOO_FAST = "too_fast"
    IDLE = "idle"
    TOO_LONG = "too_long"
    ENGINE_FAILED = "engine_failed"
    SHUTTING_DOWN = "shutting_down"


READABLE: dict[Kind, str] = {
    Kind.NO_KEY: "An API key is required",
    Kind.BAD_KEY: "This API key is not known here",
    Kind.BAD_RATE: "This sample rate is not supported",
    Kind.BAD_ENCODING: "This audio encoding is not supported",
    Kind.BAD_OPTION: "An option has a value that is not allowed",
    Kind.BAD_MESSAGE: "A message could not be understood",
    Kind.UNKNOWN_LANGUAGE: "This language code is not known",
    Kind.NO_MODEL: "No model for this language is installed on this device",
    Kind.NOT_READY: "The recogniser is still loading; try again in a moment",
    Kind.TOO_MANY_STREAMS: "This device is already serving as many streams as it can; try again later",
    Kind.TOO_MANY_SESSIONS: "This API key has as many streams open as it may",
    Kind.RATE_LIMITED: "Too many failed attempts from this address; wait a little",
    Kind.QUOTA_EXCEEDED: "The audio allowed for this API key is used up",
    Kind.NOT_ALLOWED: "Streaming is not part of this API key's plan",
    Kind.TERMS_NOT_ACCEPTED: "The terms have not been accepted for this API key",
    Kind.UNKNOWN_SESSION: "There is no such session",
    Kind.SESSION_CLOSED: "This session has been closed",
    Kind.SESSION_EXPIRED: "This session has expired",
    Kind.SESSION_TAKEN: "This session is in use by another connection",
    Kind.SESSION_REPLACED: "This session goes on in another connection",
    Kind.BAD_AUDIO: "The audio could not be decoded",
    Kind.MESSAGE_TOO_BIG: "A message is larger than this server takes",
    Kind.QUEUE_OVERFLOW: "Audio arrives faster than this device can recognise it",
    Kind.CLIENT_TOO_SLOW: "The results were not read in time",
    Kind.TOO_FAST: "Audio arrives faster than real time for too long",
    Kind.IDLE: "No audio arrived for too long",
    Kind.TOO_LONG: "The session reached its longest duration",
    Kind.ENGINE_FAILED: "The recogniser failed on this audio",
    Kind.SHUTTING_DOWN: "The server is shutting down",
}


class Problem(Struct, frozen=True):
    """One thing gone wrong. ``detail`` says what exactly, for a person; it never holds a key or what was said."""

    kind: Kind
    detail: str = ""

    @property
    def message(self) -> str:
        """A readable sentence."""
        readable = READABLE[self.kind]
        return f"{readable}: {self.detail}" if self.detail else readable


class Refused(Exception):
    """Raised where a problem ends an attempt before there is a session."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        self.problem = Problem(kind, detail)
        super().__init__(self.problem.message)
