"""AssemblyAI realtime v2, ``/v2/realtime/ws``: options in the query, binary or base64 audio in, JSON text out.

Facts from the vendor's specification and SDKs (PyPI assemblyai 0.12 to 0.63, npm assemblyai 3.0 to 4.41); what they
leave open and what was chosen is in docs/dialects/assemblyai_v2.md.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from appliance.core.events import AnyEvent, Cause, Closed, Committed, Final, Partial, milliseconds, seconds
from appliance.core.options import AudioFormat, Changes, Encoding, Limits, Mode, SessionOptions
from appliance.core.problems import Kind, Problem
from appliance.core.riff import audio_bytes
from appliance.dialects.base import (
    Answer,
    Command,
    Commit,
    Configure,
    Effect,
    Endpoint,
    Finish,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
    api_key,
    hangup,
    said,
    single,
)

PATH = "/v2/realtime/ws"
ENCODINGS: dict[str, Encoding] = {"pcm_s16le": Encoding.S16LE, "pcm_mulaw": Encoding.MULAW}
RATES = (4_000, 192_000)
"""The API takes any rate; these bounds are what a resampler makes sense of."""
SILENCE_MS = 700
"""Silence that ends an utterance, until the client says otherwise."""
BOOST_CHARACTERS = 2_500
TOLD_S = 2_000_000.0
"""The furthest ``expires_at``, however long a session may last: 23 days; a browser's timer cannot wait for 25."""

CLOSE: dict[int, tuple[str, tuple[Kind, ...]]] = {
    4000: ("Sample rate must be a positive integer", (Kind.BAD_RATE,)),
    4001: ("Not Authorized", (Kind.NO_KEY, Kind.BAD_KEY, Kind.RATE_LIMITED)),
    4002: ("Insufficient Funds", (Kind.QUOTA_EXCEEDED,)),
    4003: ("This feature is paid-only", (Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED)),
    4004: ("Session not found", (Kind.UNKNOWN_SESSION,)),
    4008: ("Session Expired", (Kind.TOO_LONG, Kind.SESSION_EXPIRED)),
    4010: ("Session previously closed", (Kind.SESSION_CLOSED,)),
    4029: ("Client sent audio too fast", (Kind.TOO_FAST,)),
    4030: ("Session is handled by another WebSocket", (Kind.SESSION_TAKEN,)),
    4031: ("Session idle for too long", (Kind.IDLE,)),
    4032: ("Audio duration is too short", ()),
    4033: ("Audio duration is too long", ()),
    4034: ("Audio too small to transcode", ()),
    4100: ("Endpoint received invalid JSON", ()),
    4101: (
        "Endpoint received a message with an invalid schema",
        (Kind.BAD_ENCODING, Kind.BAD_OPTION, Kind.BAD_MESSAGE),
    ),
    4102: ("This account has exceeded the number of allowed streams", (Kind.TOO_MANY_SESSIONS,)),
    4103: ("This session has been reconnected. This WebSocket is no longer valid", (Kind.SESSION_REPLACED,)),
    4104: ("Could not parse word boost parameter", ()),
    1009: ("", (Kind.MESSAGE_TOO_BIG,)),
    1011: ("", (Kind.ENGINE_FAILED, Kind.NO_MODEL)),
    1012: ("", (Kind.SHUTTING_DOWN,)),
    1013: ("", (Kind.TOO_MANY_STREAMS, Kind.NOT_READY, Kind.QUEUE_OVERFLOW)),
}
"""Close codes with the vendor's reasons, and the problems they are for; 1008 for all others. Where the vendor has no
reason our own words are told. 1013 is a "temporary server condition" in its SDKs."""
EXPLAINED = frozenset({Kind.RATE_LIMITED, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED})
"""The vendor's reason alone would mislead; our words follow it."""
STATUS: dict[Kind, int] = {Kind.NO_KEY: 401, Kind.BAD_KEY: 401, Kind.RATE_LIMITED: 429, Kind.NOT_READY: 503,
                           Kind.SHUTTING_DOWN: 503}  # fmt: skip
"""HTTP status of a refused token; 400 for all others."""

_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
PYTHON_STRING = re.compile(_STRING)
PYTHON_LIST = re.compile(rf"\s*\[\s*(?:(?:{_STRING})\s*(?:,\s*(?:{_STRING})\s*)*)?\]\s*")
"""Python SDKs of the 0.12 line send ``str()`` of their list of words."""


class _Begins(Struct, tag_field="message_type", tag="SessionBegins"):
    session_id: str
    expires_at: str


class _Word(Struct):
    start: int
    end: int
    confidence: float
    text: str


class _Partial(Struct, tag_field="message_type", tag="PartialTranscript"):
    """The Python SDK's reader dies when a field is missing."""

    created: str
    audio_start: int
    audio_end: int
    confidence: float
    text: str
    words: list[_Word]


class _Final(_Partial, tag_field="message_type", tag="FinalTranscript"):
    punctuated: bool = False
    text_formatted: bool = True


class _Information(Struct, tag_field="message_type", tag="SessionInformation"):
    audio_duration_seconds: float


class _Terminated(Struct, tag_field="message_type", tag="SessionTerminated"):
    """Without it the Python SDK's ``close()`` waits for ever."""


class _Error(Struct):
    error: str


class _Message(Struct, frozen=True):
    """What a client may say in text. Several keys at once are obeyed in this order; others are ignored."""

    end_utterance_silence_threshold: Annotated[int, Meta(ge=0, le=20_000)] | UnsetType = UNSET
    audio_data: str | UnsetType = UNSET
    force_end_utterance: bool | UnsetType = UNSET
    terminate_session: bool | UnsetType = UNSET


class _TokenRequest(Struct, frozen=True):
    expires_in: Annotated[int, Meta(ge=60, le=360_000)]


class _Bad(Exception):
    """What the API has a close code for."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.detail = detail
        self.failure = _failure(code, CLOSE[code][0], detail)


def _wish(request: Request) -> TokenWish | Answer:
    try:
        asked = _decoded(request.body, _TokenRequest)
    except _Bad as bad:
        return _refused(400, bad.detail)
    return TokenWish(
        keys=_keys(request.headers),
        realm=AssemblyAIv2.realm,
        lifetime_s=float(asked.expires_in),
        single_use=True,
        answer=lambda token: Answer(200, msgspec.json.encode({"token": token}).decode()),
    )


def _no_token(problem: Problem) -> Answer:
    return _refused(STATUS.get(problem.kind, 400), problem.message)


def _refused(status: int, why: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": why, "status": "error"}).decode())


class AssemblyAIv2:
    """One session; it may go on in another socket."""

    name = "assemblyai_v2"
    paths: tuple[str, ...] = (PATH, PATH + "/{session}", "/v2/realtime")
    realm = "assemblyai_v2"
    limits = Limits(idle_s=60.0, longest_s=10_800.0, fast_s=60.0, longest_frame_ms=2_000.0, sessions=100,
                    resume_s=120.0, takeover_s=5.0)  # fmt: skip
    endpoints: tuple[Endpoint, ...] = (Endpoint("POST", "/v2/realtime/token", _wish, _no_token),)

    def __init__(self, options: SessionOptions, limits: Limits, *, information: bool) -> None:
        self._audio = options.audio
        self._endpointing = options.endpointing
        self._limits = limits
        self._information = information
        self._clock: Callable[[], float] = float
        self._expires: str | None = None
        self._told = False
        """A final has answered the commit that is about to be settled."""
        self._finished = False

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """Read the query; a session that is to go on needs none of it."""
        query = single(handshake.query)
        keys = _keys(handshake.headers, query.get("token", ""))
        resume = handshake.path.removeprefix(PATH).strip("/") if handshake.path.startswith(f"{PATH}/") else ""
        try:
            audio = AudioFormat() if resume else _format(query)
            _check_boost([value for name, value in handshake.query if name == "word_boost" and not resume])
        except _Bad as bad:
            return Refusal(effects=bad.failure)
        options = SessionOptions(
            audio=audio,
            endpointing=structs.replace(handshake.endpointing, mode=Mode.VAD, silence_to_end_ms=SILENCE_MS),
            numerals=True,
        )
        if _true(query, "disable_partial_transcripts"):
            options = structs.replace(options, partial_ms=0)
        codec = cls(options, handshake.limits, information=_true(query, "enable_extra_session_information"))
        return Opening(dialect=codec, options=options, limits=handshake.limits, keys=keys, resume=resume or None)

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        """In-band: the service closes an accepted socket, and only so a client sees the code."""
        return Refusal(effects=_ending(problem))

    def opening(self, session: SessionInfo) -> list[Effect]:
        self._clock = session.clock
        if self._expires is None:
            limits = (session.longest_s, self._limits.longest_s, TOLD_S)
            longest = next(limit for limit in limits if limit is not None)
            self._expires = _timestamp(session.clock() + min(longest, TOLD_S))
        return [said(_Begins(session.id, self._expires))]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """After ``terminate_session`` nothing counts any more."""
        if self._finished:
            return []
        try:
            if isinstance(message, bytes):
                return self._hear(message)
            return self._obey(_decoded(message, _Message))
        except _Bad as bad:
            return list(bad.failure)

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial():
                confidence = sum(word.confidence for word in event.words) / max(1, len(event.words))
                return [said(self._transcript(_Partial, event, confidence))]
            case Final():
                self._told = event.cause is Cause.COMMIT
                return [said(self._transcript(_Final, event, event.confidence))]
            case Committed(at=at):
                told, self._told = self._told, False
                end = milliseconds(at)
                return [] if told else [said(_Final(self._now(), end, end, 0.0, "", []))]
            case Closed(problem=None, audio=audio):
                information = [said(_Information(round(seconds(audio), 3)))] if self._information else []
                return [*information, said(_Terminated()), Hangup(1000)]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        """A client that has terminated waits for the answer, whatever happens."""
        error, end = _ending(problem)
        return [error, said(_Terminated()), end] if self._finished else [error, end]

    def _hear(self, data: bytes) -> list[Command | Effect]:
        """Audio, checked as a message of its own; the limits are the owner's."""
        if len(data) < self._audio.frame_bytes:
            raise _Bad(4034)
        size = audio_bytes(data)
        long = size * 1000 / self._audio.bytes_per_second
        shortest, longest = self._limits.shortest_frame_ms, self._limits.longest_frame_ms
        if longest is not None and long > longest:
            raise _Bad(4033, f"{long:g} ms in one message, at most {longest:g}")
        if shortest is not None and long < shortest:
            raise _Bad(4032, f"{long:g} ms in one message, at least {shortest:g}")
        return [Hear(data)]

    def _obey(self, message: _Message) -> list[Command | Effect]:
        if message == _Message():
            raise _Bad(4101, f"expected one of {', '.join(_Message.__struct_fields__)}")
        commands: list[Command | Effect] = []
        if message.end_utterance_silence_threshold is not UNSET:
            silence = message.end_utterance_silence_threshold
            self._endpointing = structs.replace(self._endpointing, silence_to_end_ms=silence)
            commands.append(Configure(Changes(endpointing=self._endpointing)))
        if message.audio_data is not UNSET:
            commands += self._hear(_from_base64(message.audio_data))
        if message.force_end_utterance is True:
            commands.append(Commit())
        if message.terminate_session is True:
            self._finished = True
            commands.append(Finish())
        return commands

    def _transcript(self, kind: type[_Partial], event: Partial | Final, confidence: float) -> _Partial:
        words = [
            _Word(milliseconds(word.start), milliseconds(word.end), round(word.confidence, 3), word.text)
            for word in event.words
        ]
        return kind(
            created=self._now(),
            audio_start=min([milliseconds(event.start), *(word.start for word in words[:1])]),
            audio_end=milliseconds(event.end),
            confidence=round(confidence, 3),
            text=event.text,
            words=words,
        )

    def _now(self) -> str:
        return _timestamp(self._clock())


def _keys(headers: Mapping[str, str], token: str = "") -> tuple[str, ...]:
    """The token first: a client that has one sends no key. Keys come raw; some HTTP libraries put Bearer before."""
    key = api_key(headers.get("authorization", ""))
    return tuple(one for one in (token.strip(), key) if one)


def _format(query: Mapping[str, str]) -> AudioFormat:
    rate = query.get("sample_rate", "").strip()
    if not re.fullmatch("[0-9]{1,9}", rate):
        raise _Bad(4000, f"sample_rate is {rate[:20]!r}" if rate else "sample_rate is missing")
    if not RATES[0] <= int(rate) <= RATES[1]:
        raise _Bad(4000, f"sample_rate is {int(rate)}, possible are {RATES[0]} to {RATES[1]}")
    encoding = query.get("encoding", "").strip().lower() or "pcm_s16le"
    if encoding not in ENCODINGS:
        raise _Bad(4101, f"encoding is {encoding[:20]!r}, expected one of {', '.join(ENCODINGS)}")
    return AudioFormat(ENCODINGS[encoding], int(rate))


def _true(query: Mapping[str, str], name: str) -> bool:
    """Python's SDK sends True, Node's true."""
    return query.get(name, "").strip().lower() in ("true", "1")


def _check_boost(values: Sequence[str]) -> None:
    """Words come as one JSON array, as ``str()`` of a Python list, or one by one in a repeated parameter."""
    characters = 0
    for value in filter(str.strip, values):
        if len(values) > 1 and not value.lstrip().startswith("["):
            characters += len(value)
            continue
        try:
            characters += sum(map(len, _decoded(value, list[str])))
        except _Bad as bad:
            if not PYTHON_LIST.fullmatch(value):
                raise _Bad(4104, bad.detail) from bad
            characters += sum(len(word) - 2 for word in PYTHON_STRING.findall(value))
    if characters > BOOST_CHARACTERS:
        raise _Bad(4104, f"{characters} characters, at most {BOOST_CHARACTERS}")


_Decoded = TypeVar("_Decoded")


def _decoded(text: str | bytes, kind: type[_Decoded]) -> _Decoded:
    """JSON of this form. Raises ``_Bad``: 4100 for what is no JSON, 4101 for another form."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise _Bad(4101, str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _Bad(4100, str(error)) from error


def _from_base64(text: str) -> bytes:
    """Some encoders break their lines. Raises ``_Bad``."""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise _Bad(4101, f"audio_data is no base64: {error}") from error


def _ending(problem: Problem) -> tuple[Send, Hangup]:
    """What a client is told of a problem."""
    rows = ((code, reason) for code, (reason, kinds) in CLOSE.items() if problem.kind in kinds)
    code, reason = next(rows, (1008, ""))
    if not reason:
        return _failure(code, problem.message)
    if problem.kind in EXPLAINED:
        return _failure(code, f"{reason}: {problem.message}")
    return _failure(code, reason, problem.detail)


def _failure(code: int, reason: str, detail: str = "") -> tuple[Send, Hangup]:
    """The service says what is wrong, in more detail than a close has room for, and closes."""
    return said(_Error(f"{reason}: {detail}" if detail else reason)), hangup(code, reason)


def _timestamp(clock: float) -> str:
    """ISO 8601, UTC, microseconds, no zone."""
    return datetime.fromtimestamp(clock, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
