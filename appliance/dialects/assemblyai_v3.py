"""AssemblyAI Universal-Streaming, ``/v3/ws``: options in the query, binary audio in, turns as JSON out.

Facts from the vendor's specification and SDKs (PyPI assemblyai 0.41 to 1.8, npm assemblyai 4.41); what they leave open
and what was chosen is in docs/dialects/assemblyai_v3.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from appliance.core.events import AnyEvent, Cause, Closed, Final, Partial, milliseconds, seconds
from appliance.core.options import Changes, Limits, SessionOptions
from appliance.core.problems import Kind, Problem, Refused
from appliance.core.riff import audio_bytes
from appliance.dialects.assemblyai_v3_query import (
    CONTAINERS,
    FIXED,
    LONGEST_S,
    UNHONOURED,
    Query,
    Settings,
    TokenQuery,
    first,
    languages,
    quoted,
    read,
    readable,
)
from appliance.dialects.base import (
    Answer,
    Command,
    Commit,
    Configure,
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
    Request,
    SessionInfo,
    TokenWish,
    hangup,
    said,
    single,
)

NAME = "assemblyai_v3"
TOLD_S = 2_000_000.0
"""The furthest ``expires_at``, however long a session may last: a browser's timer cannot wait for 25 days."""
FAST_S = 60.0
"""The vendor names no number. Long enough for a short file that is sent at once."""
DEAF = "integration=pipecat"
"""In the user agent of a client that reports every message it does not know, a Warning for one, as an error."""

WARNING = 1
"""The code of every Warning; the vendor lists none."""

WORDS: dict[Kind, tuple[int, str]] = {
    Kind.NO_KEY: (1008, "Unauthorized Connection: Missing Authorization header"),
    **dict.fromkeys(
        (Kind.BAD_KEY, Kind.RATE_LIMITED, Kind.QUOTA_EXCEEDED, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED),
        (1008, "Unauthorized Connection: {}"),
    ),
    Kind.TOO_MANY_SESSIONS: (3009, "Unauthorized Connection: Too many concurrent sessions"),
    Kind.TOO_MANY_STREAMS: (3009, "Unauthorized Connection: {}"),
    **dict.fromkeys(
        (Kind.BAD_RATE, Kind.BAD_ENCODING, Kind.BAD_OPTION, Kind.BAD_MESSAGE, Kind.BAD_AUDIO, Kind.MESSAGE_TOO_BIG,
         Kind.UNKNOWN_LANGUAGE, Kind.NO_MODEL),
        (3006, "Invalid Message: {}"),
    ),
    Kind.TOO_FAST: (3007, "Audio Transmission Rate Exceeded: {}"),
    Kind.TOO_LONG: (3008, "Session Expired: Maximum session duration exceeded"),
    Kind.IDLE: (3008, "Session Expired: {}"),
}  # fmt: skip
"""Close code and reason; the braces stand for the problem's own words."""
CANCELLED = (3005, "Session Cancelled: {}")
"""All other problems are the server's."""
STATUS: dict[Kind, int] = {
    **dict.fromkeys((Kind.BAD_OPTION, Kind.MESSAGE_TOO_BIG), 400),
    **dict.fromkeys((Kind.NO_KEY, Kind.BAD_KEY, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED), 401),
    **dict.fromkeys((Kind.RATE_LIMITED, Kind.QUOTA_EXCEEDED), 429),
}
"""Of a refused token; 500 for all others."""


class _Typed(Struct, frozen=True):
    type: str


class _Begin(Struct, tag="Begin"):
    id: str
    expires_at: int


class _SpeechStarted(Struct, tag="SpeechStarted"):
    timestamp: int
    confidence: float


class _Word(Struct):
    text: str
    start: int
    end: int
    confidence: float
    word_is_final: bool


class _Turn(Struct, tag="Turn", kw_only=True):
    """One that goes on, unless said otherwise. The Python SDK dies of a missing field, and of a fraction in an int."""

    turn_order: int
    turn_is_formatted: bool = False
    end_of_turn: bool = False
    transcript: str
    utterance: str = ""
    end_of_turn_confidence: float = 0.0
    words: list[_Word]
    language_code: str | UnsetType = UNSET
    language_confidence: float | UnsetType = UNSET
    """Never one without the other: the vendor's examples format both as soon as there is a code."""


class _Termination(Struct, tag="Termination"):
    audio_duration_seconds: int
    session_duration_seconds: int


class _Error(Struct, tag="Error"):
    error_code: int
    error: str


class _Warning(Struct, tag="Warning"):
    warning_code: int
    warning: str


def _failure(problem: Problem) -> list[Effect]:
    code, reason = WORDS.get(problem.kind, CANCELLED)
    return _error(code, reason.format(problem.message))


def _error(code: int, reason: str) -> list[Effect]:
    return [said(_Error(code, reason)), hangup(code, reason)]


def _key(headers: Mapping[str, str]) -> str:
    """A key, or with the Python SDK a token. A scheme before it does not count."""
    return headers.get("authorization", "").strip().rpartition(" ")[2]


def _token(request: Request) -> TokenWish | Answer:
    try:
        asked = msgspec.convert({name: value for name, value in request.query if value}, TokenQuery, strict=False)
    except msgspec.ValidationError as error:
        return _no_token(Problem(Kind.BAD_OPTION, readable(error)))
    lifetime, key = asked.expires_in_seconds, _key(request.headers)
    return TokenWish(
        keys=(key,) if key else (),
        realm=NAME,
        lifetime_s=lifetime,
        single_use=True,
        longest_s=asked.max_session_duration_seconds,
        answer=lambda token: _json(200, {"token": token, "expires_in_seconds": lifetime}),
    )


def _no_token(problem: Problem) -> Answer:
    return _json(STATUS.get(problem.kind, 500), {"error": problem.message, "code": problem.kind, "details": {}})


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, msgspec.json.encode(body).decode())


class AssemblyAIv3:
    """One connection."""

    name = NAME
    paths: tuple[str, ...] = ("/v3/ws",)
    realm = NAME
    limits = Limits(longest_s=LONGEST_S, fast_s=FAST_S, longest_frame_ms=1_000)
    endpoints: tuple[Endpoint, ...] = (Endpoint("GET", "/v3/token", _token, _no_token),)

    def __init__(self, query: Query, options: SessionOptions, handshake: Handshake) -> None:
        self._query = query
        self._limits = handshake.limits
        self._audio = options.audio
        self._compressed = query.encoding in CONTAINERS
        """Bytes do not say how long the audio is."""
        self._endpointing = options.endpointing
        self._formatted = options.numerals
        self._ending = query.ending
        self._deaf = DEAF in handshake.headers.get("user-agent", "").lower()
        self._warned: set[str] = set()
        self._clock: Callable[[], float] = float
        self._begun = 0.0
        self._heard = 0
        self._announced = -1
        """The last turn that SpeechStarted was told of."""
        self._language = ""
        self._terminated = False

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """A token in the query goes before what is in the header."""
        try:
            query = read(handshake.query)
            options = query.options(handshake.endpointing)
        except Refused as refused:
            return cls.refuse(refused.problem, handshake)
        keys = (single(handshake.query).get("token", "").strip(), _key(handshake.headers))
        return Opening(
            dialect=cls(query, options, handshake),
            options=options,
            limits=query.limited(handshake.limits),
            keys=tuple(key for key in keys if key),
            containers=Containers.REQUIRED if query.encoding in CONTAINERS else Containers.REFUSED,
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        """In-band, as the vendor does: the SDKs show the reason of a close, but not the body of an HTTP answer."""
        return Refusal(effects=tuple(_failure(problem)))

    def opening(self, session: SessionInfo) -> list[Effect]:
        self._clock, self._language = session.clock, session.language
        self._begun = session.clock()
        expires = int(self._begun + min(first(session.longest_s, first(self._limits.longest_s, LONGEST_S)), TOLD_S))
        return [said(_Begin(session.id, expires)), *self._warn(self._query, UNHONOURED)]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """Nothing counts after Terminate."""
        if self._terminated:
            return []
        return self._frame(message) if isinstance(message, bytes) else self._message(message)

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial():
                return [*self._speech_started(event), self._partial(event)]
            case Final():
                return [*self._speech_started(event), *self._final(event)]
            case Closed(problem=None) if self._terminated:
                lasted = max(0, round(self._clock() - self._begun))
                return [said(_Termination(round(seconds(event.audio)), lasted)), Hangup(1000)]
            case Closed():  # nobody said Terminate: the server is stopping
                return self.fail(event.problem or Problem(Kind.SHUTTING_DOWN))
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        if problem.kind is not Kind.TOO_FAST:
            return _failure(problem)
        code, reason = WORDS[Kind.TOO_FAST]
        audio, lasted = self._heard / self._audio.bytes_per_second, self._clock() - self._begun
        return _error(code, reason.format(f"Received {audio:.1f} sec. audio in {lasted:.1f} sec"))

    # from the client

    def _frame(self, data: bytes) -> list[Command | Effect]:
        if not data:
            return []
        size = audio_bytes(data)
        length = 1000 * size / self._audio.bytes_per_second
        least, most = first(self._limits.shortest_frame_ms, 0.0), first(self._limits.longest_frame_ms, float("inf"))
        if not self._compressed and not least <= length <= most:
            expected = f"Expected between {least:g} and {most:g} ms"
            return [*_error(3007, f"Input Duration Error: {length:.1f} ms. {expected}")]
        self._heard += size
        return [Hear(data)]

    def _message(self, text: str) -> list[Command | Effect]:
        try:
            kind = msgspec.json.decode(text, type=_Typed).type
        except msgspec.ValidationError:
            return [*_error(3006, f"Invalid Message: {quoted(text)}")]
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return [*_error(3006, f"Invalid JSON: {quoted(text)}")]
        match kind:
            case "ForceEndpoint":
                return [Commit()]
            case "KeepAlive":
                return [KeepAlive()]
            case "UpdateConfiguration":
                return self._update(text)
            case "Terminate":
                self._terminated = True
                return [Finish()]
        return [*_error(3006, f"Invalid Message Type: {quoted(kind)}")]

    def _update(self, text: str) -> list[Command | Effect]:
        try:
            asked = msgspec.json.decode(text, type=Settings)
            wanted = languages(asked.language_codes or ())
        except msgspec.ValidationError as error:
            return [*_failure(Problem(Kind.BAD_OPTION, readable(error)))]
        except Refused as refused:
            return [*_failure(refused.problem)]
        self._ending = self._ending.changed(asked)
        endpointing = self._ending.endpointing(self._endpointing, asked.vad_threshold)
        numerals = self._query.newer or first(asked.format_turns, self._formatted)
        changes = Changes(
            endpointing=endpointing if endpointing != self._endpointing else None,
            numerals=numerals if numerals != self._formatted else None,
        )
        self._endpointing, self._formatted = endpointing, numerals
        fixed = FIXED if wanted and self._language not in wanted else {}
        configure = [Configure(changes)] if changes != Changes() else []
        return [*configure, *self._warn(asked, {**UNHONOURED, **fixed})]

    # to the client

    def _warn(self, asked: Settings, table: dict[str, str]) -> list[Effect]:
        """Of each thing once."""
        names = [name for name in table if getattr(asked, name, None) and name not in self._warned]
        self._warned.update(names)
        return [] if self._deaf else [said(_Warning(WARNING, f"{name}: {table[name]}")) for name in names]

    def _speech_started(self, event: Partial | Final) -> list[Effect]:
        """Of the newer models, before the first message of each turn. When it is told as soon as a voice is heard, a
        cough begins a turn that nothing ends.
        """
        if not self._query.newer or event.segment == self._announced:
            return []
        self._announced = event.segment
        return [said(_SpeechStarted(milliseconds(event.start), self._endpointing.threshold))]

    def _partial(self, event: Partial) -> Effect:
        settled = " ".join(word.text for word in event.words[: event.stable])
        return said(_Turn(turn_order=event.segment, transcript=settled, words=_words(event, event.stable)))

    def _final(self, event: Final) -> list[Effect]:
        """Once; a second time as formatted where that was asked of a model that has not formatted it at once."""
        newer, detected = self._query.newer, self._query.language_detection
        turn = _Turn(
            turn_order=event.segment,
            turn_is_formatted=newer,
            end_of_turn=True,
            transcript=event.text,
            utterance=event.text,
            end_of_turn_confidence=self._ending.confidence if event.cause is Cause.SILENCE and not newer else 1.0,
            words=_words(event, len(event.words)),
            language_code=event.language if detected else UNSET,
            language_confidence=1.0 if detected else UNSET,
        )
        told: list[Effect] = [said(turn)]
        if self._formatted and not newer:
            turn.turn_is_formatted, turn.utterance = True, ""
            told.append(said(turn))
        return told


def _words(event: Partial | Final, settled: int) -> list[_Word]:
    """Times in whole milliseconds since the session's first sample."""
    return [
        _Word(word.text, milliseconds(word.start), milliseconds(word.end), round(word.confidence, 4), index < settled)
        for index, word in enumerate(event.words)
    ]
