"""Gnani Vachana, ``/stt/v3/stream``: configuration in upgrade headers, binary PCM in, JSON text out.

Facts from the vendor's documentation and SDK (PyPI gnani-vachana 0.8.2); what they leave open and what was chosen is in
docs/dialects/gnani.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from appliance.core.events import AnyEvent, Cause, Closed, Final, SpeechEnded, SpeechStarted, milliseconds
from appliance.core.options import AudioFormat, Limits, Mode, SessionOptions
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Command,
    Effect,
    Endpoint,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    SessionInfo,
    hangup,
    said,
)

RATES = (8_000, 16_000, 44_100, 48_000)
CHUNK = 512
"""Samples of a frame as the vendor wants it (1024 bytes); any other size is taken too, as LiveKit and Pipecat need."""
LANGUAGES: dict[str, tuple[str, ...]] = {
    **{f"{code}-in": (code,) for code in ("bn", "en", "gu", "hi", "kn", "ml", "mr", "pa", "ta", "te")},
    "en-hi-in-latn": ("en", "hi"),
    "en-hi-in-cm": ("hi", "en"),
}
"""Language codes, lower case, and the languages that may serve them; the last two are the experimental Hinglish."""
FORMATS = ("verbatim", "transcribe")
NATIVE_DIGITS = str.maketrans("0123456789", "०१२३४५६७८९")

SILENCE_MS = 500
"""Silence that ends a segment: third-party clients close it with exactly this much."""
FLUSH_S = 0.4
"""Without frames, after which what was heard is settled: the SDK closes 1.0 s after its last frame."""

STATUS: dict[Kind, int] = {
    Kind.NO_KEY: 401,
    Kind.BAD_KEY: 403,
    Kind.QUOTA_EXCEEDED: 403,
    Kind.NOT_ALLOWED: 403,
    Kind.TERMS_NOT_ACCEPTED: 403,
    Kind.TOO_MANY_SESSIONS: 429,
    Kind.TOO_MANY_STREAMS: 429,
    Kind.RATE_LIMITED: 429,
    Kind.NOT_READY: 503,
    Kind.SHUTTING_DOWN: 503,
}
"""Problems answered before the upgrade; all others are told in-band, because the SDK shows a person only that text."""
CLOSE: dict[Kind, int] = {
    Kind.ENGINE_FAILED: 1011,
    Kind.SHUTTING_DOWN: 1012,
    Kind.CLIENT_TOO_SLOW: 1008,
    Kind.MESSAGE_TOO_BIG: 1009,
}
"""Close codes after an error; 1008 for everything a client did."""


class _Config(Struct):
    sample_rate: int
    chunk_size: int = CHUNK


class _Connected(Struct, tag="connected"):
    timestamp: str
    request_id: str
    config: _Config
    message: str = "STT service ready"


class _Mark(Struct):
    """``processing``, ``speech_start`` and ``speech_end`` carry nothing but their time."""

    type: str
    timestamp: str


class _Transcript(Struct, tag="transcript", omit_defaults=True):
    timestamp: str
    text: str
    audio_duration_ms: int
    segment_id: str
    segment_index: str
    latency: int
    is_final: bool
    language: str | None = None
    detected_language: str | None = None


class _Error(Struct, tag="error"):
    message: str
    timestamp: str


class _Request(Struct, frozen=True):
    """The headers, understood."""

    request_id: str
    codes: tuple[str, ...]
    languages: tuple[str, ...]
    rate: int
    numerals: bool
    native: bool


class Gnani:
    """One connection."""

    name = "gnani"
    paths: tuple[str, ...] = ("/stt/v3/stream", "/stt/v3")
    realm = "gnani"
    limits = Limits(flush_s=FLUSH_S)
    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._clock: Callable[[], float] = float
        self._ended_at: float | None = None

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """Headers, or query parameters of the same names for browsers (our own extension)."""
        asked = {**{key.lower(): value for key, value in handshake.query}, **handshake.headers}
        key = asked.get("x-api-key-id", "").strip()
        try:
            request = _read(asked)
        except _Bad as bad:
            return cls.refuse(bad.problem, handshake)
        options = SessionOptions(
            audio=AudioFormat(rate=request.rate),
            languages=request.languages,
            endpointing=structs.replace(handshake.endpointing, mode=Mode.VAD, silence_to_end_ms=SILENCE_MS),
            partial_ms=0,
            numerals=request.numerals,
        )
        return Opening(dialect=cls(request), options=options, limits=handshake.limits, keys=(key,) if key else ())

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        status = STATUS.get(problem.kind)
        if status is not None:
            body = msgspec.json.encode({"type": "error", "message": problem.message}).decode()
            return Refusal(status=status, body=body)
        return Refusal(effects=_failure(problem, datetime.now(UTC)))

    def opening(self, session: SessionInfo) -> list[Effect]:
        self._clock = session.clock
        request_id = self._request.request_id or f"req_{session.id.replace('-', '')[:12]}"
        return [said(_Connected(self._now(), request_id, _Config(self._request.rate)))]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """Text frames have no meaning in this protocol and are ignored."""
        return [Hear(message)] if isinstance(message, bytes) and message else []

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case SpeechStarted():
                return [said(_Mark("speech_start", self._now()))]
            case SpeechEnded():
                self._ended_at = self._clock()
                return [said(_Mark("speech_end", self._now())), said(_Mark("processing", self._now()))]
            case Final(text=""):
                self._ended_at = None
            case Final():
                cut = event.cause is Cause.LONGEST  # in the middle of speech
                processing = [said(_Mark("processing", self._now()))] if cut else []
                transcript = self._transcript(event)
                self._ended_at = None
                return [*processing, said(transcript)]
            case Closed(problem=None):
                return [Hangup(1000)]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        return list(_failure(problem, datetime.fromtimestamp(self._clock(), UTC)))

    def _transcript(self, final: Final) -> _Transcript:
        latency = self._clock() - self._ended_at if self._ended_at is not None else 0.0
        native = self._request.native and final.language == "hi"
        text = final.text.translate(NATIVE_DIGITS) if native else final.text
        detected = None
        if len(self._request.codes) > 1:
            fitting = (code for code in self._request.codes if final.language in LANGUAGES[code.lower()])
            detected = next(fitting, None)
        return _Transcript(
            timestamp=self._now(),
            text=text,
            audio_duration_ms=milliseconds(final.end - final.start),
            segment_id=str(uuid.uuid4()),
            segment_index=str(final.segment),
            latency=max(0, round(latency * 1000)),
            is_final=True,
            language=detected,
            detected_language=detected,
        )

    def _now(self) -> str:
        return _timestamp(datetime.fromtimestamp(self._clock(), UTC))


class _Bad(Exception):
    def __init__(self, kind: Kind, detail: str) -> None:
        self.problem = Problem(kind, detail)


def _read(asked: dict[str, str]) -> _Request:
    codes = tuple(code.strip() for code in asked.get("lang_code", "").split(",") if code.strip()) or ("en-IN",)
    preferred = asked.get("preferred_language", "").strip()
    if preferred and len(codes) > 1:
        codes = tuple(sorted(codes, key=lambda code: code.lower() != preferred.lower()))
    for code in codes:
        if code.lower() not in LANGUAGES:
            raise _Bad(Kind.UNKNOWN_LANGUAGE, f"lang_code {code[:40]!r}; known are {', '.join(sorted(LANGUAGES))}")
    rate = asked.get("x-sample-rate", "").strip() or "16000"
    if rate not in map(str, RATES):
        raise _Bad(Kind.BAD_RATE, f"x-sample-rate {rate[:20]!r}; expected one of {', '.join(map(str, RATES))}")
    style = asked.get("x-format", "").strip().lower() or FORMATS[0]
    if style not in FORMATS:
        raise _Bad(Kind.BAD_OPTION, f"x-format {style[:20]!r}; expected one of {', '.join(FORMATS)}")
    languages = tuple(dict.fromkeys(language for code in codes for language in LANGUAGES[code.lower()]))
    native = asked.get("itn_native_numerals", "").strip().lower() == "true"
    return _Request(
        request_id=asked.get("x-api-request-id", "").strip()[:128],
        codes=codes,
        languages=languages,
        rate=int(rate),
        numerals=style == "transcribe",
        native=native and style == "transcribe",
    )


def _failure(problem: Problem, now: datetime) -> tuple[Effect, ...]:
    return (
        said(_Error(problem.message, _timestamp(now))),
        hangup(CLOSE.get(problem.kind, 1008), problem.message),
    )


def _timestamp(now: datetime) -> str:
    """ISO 8601, UTC, milliseconds, ``Z``."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
