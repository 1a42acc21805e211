"""Speechall, ``/v1/transcribe``: PCM in and one text frame per utterance out; by POST, a whole file in the body.

Facts from the vendor's streaming page and the AsyncAPI and OpenAPI files of GitHub Speechall/speechall-openapi; what
they leave open and what was chosen is in docs/dialects/speechall.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from appliance.core.events import AnyEvent, Closed, Final, Partial, Word, seconds
from appliance.core.options import RATES, AudioFormat, Limits, Mode, SessionOptions
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import (
    Answer,
    Command,
    Containers,
    Effect,
    Endpoint,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
    Transcript,
    Upload,
    hangup,
    said,
)
from appliance.dialects.speechall_query import JSON, Form, Query, keys, read
from appliance.text.subtitles import srt, vtt

PATH = "/v1/transcribe"
SILENCE_MS = 700
"""Silence that ends an utterance: the protocol has no message that would."""
FLUSH_S = 1.5
"""Without a frame, after which what was heard is settled: a client that has sent its file just stops."""
PARTIAL_MS = 250
RETRY_S = 5
"""What ``Retry-After`` says."""
RAW_MEDIA = frozenset({"application/octet-stream", "audio/l16", "audio/pcm", "audio/raw", "audio/x-raw"})
"""Content types of a body that need not be a file; of any other, it has to be."""

BAD_REQUEST = (400, "invalid_request_error")
STATUS: dict[Kind, tuple[int, str]] = {
    Kind.NO_KEY: (401, "unauthenticated"),
    Kind.BAD_KEY: (401, "unauthenticated"),
    Kind.QUOTA_EXCEEDED: (402, "payment_required"),
    Kind.NOT_ALLOWED: (402, "payment_required"),
    Kind.TERMS_NOT_ACCEPTED: (402, "payment_required"),
    Kind.NO_MODEL: (404, "not_found"),
    Kind.RATE_LIMITED: (429, "rate_limit_exceeded"),
    Kind.TOO_MANY_SESSIONS: (429, "rate_limit_exceeded"),
    Kind.TOO_FAST: (429, "rate_limit_exceeded"),
    Kind.ENGINE_FAILED: (500, "internal_server_error"),
    Kind.NOT_READY: (503, "service_unavailable"),
    Kind.TOO_MANY_STREAMS: (503, "service_unavailable"),
    Kind.QUEUE_OVERFLOW: (503, "service_unavailable"),
    Kind.SHUTTING_DOWN: (503, "service_unavailable"),
}
"""Status and ``code`` of a problem, before the upgrade and of POST; 400 for all others. After it the ``code`` alone."""
CLOSE: dict[Kind, int] = {
    Kind.IDLE: 1000,
    Kind.MESSAGE_TOO_BIG: 1009,
    Kind.ENGINE_FAILED: 1011,
    Kind.SHUTTING_DOWN: 1012,
    Kind.QUEUE_OVERFLOW: 1013,
}
"""Close codes; 1008 for all others. The page's example opens a new connection after any but 1000."""


class _Word(Struct):
    word: str
    text: str
    """The same again: the OpenAPI file has ``word``, the page's example ``text``."""
    start: float
    end: float
    confidence: float


class _Segment(Struct):
    start: float
    end: float
    text: str
    confidence: float | UnsetType = UNSET


class _OnlyText(Struct):
    id: str
    text: str
    is_final: bool | UnsetType = UNSET


class _Detailed(Struct):
    id: str
    text: str
    language: str
    words: list[_Word]
    segments: list[_Segment]
    is_final: bool | UnsetType = UNSET


class _Error(Struct):
    message: str
    code: str


def _detailed(id: str, spoken: Sequence[Final | Partial], language: str, is_final: bool | UnsetType) -> _Detailed:
    return _Detailed(
        id=id,
        text=" ".join(one.text for one in spoken),
        language=language,
        words=[_word(word) for one in spoken for word in one.words],
        segments=[_segment(one) for one in spoken],
        is_final=is_final,
    )


def _word(word: Word) -> _Word:
    start, end = round(seconds(word.start), 3), round(seconds(word.end), 3)
    return _Word(word.text, word.text, start, end, round(word.confidence, 4))


def _segment(spoken: Final | Partial) -> _Segment:
    confidence = round(spoken.confidence, 4) if isinstance(spoken, Final) else UNSET
    return _Segment(round(seconds(spoken.start), 3), round(seconds(spoken.end), 3), spoken.text, confidence)


def _refusal(problem: Problem) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """Status, body and headers."""
    status, code = STATUS.get(problem.kind, BAD_REQUEST)
    body = msgspec.json.encode(_Error(problem.message, code)).decode()
    return status, body, (("Retry-After", str(RETRY_S)),) if status in (429, 503) else ()


# POST


def _read(request: Request) -> TokenWish | Upload | Answer:
    try:
        query = read(request.query)
        raw = _raw(request.headers.get("content-type", ""))
    except Refused as refused:
        return _refuse(refused.problem)
    options = SessionOptions(
        languages=query.languages,
        endpointing=structs.replace(request.endpointing, mode=Mode.VAD, silence_to_end_ms=SILENCE_MS),
        partial_ms=0,
    )
    return Upload(
        keys=keys(request.headers, request.query),
        options=options,
        raw=raw,
        answer=lambda transcript: _answer(query.output_format, transcript),
    )


def _raw(content_type: str) -> AudioFormat | None:
    """s16le of the ``rate`` and ``channels`` that the type may have as parameters (RFC 2586), else 16 kHz and mono."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media not in RAW_MEDIA:
        return None
    named = {name.strip(): value.strip().strip('"') for name, _, value in (each.partition("=") for each in parameters)}
    rate, channels = named.get("rate", "16000"), named.get("channels", "1")
    if rate not in map(str, RATES) or channels not in ("1", "2"):
        raise Refused(Kind.BAD_RATE, f"rate is one of {', '.join(map(str, RATES))}; channels 1 or 2")
    return AudioFormat(rate=int(rate), channels=int(channels))


def _answer(form: Form, transcript: Transcript) -> Answer:
    if form in RENDER:
        return Answer(200, RENDER[form](transcript), "text/plain")
    whole = _detailed(str(uuid.uuid4()), transcript.finals, transcript.language, UNSET)
    body = _OnlyText(whole.id, whole.text) if form is Form.JSON_TEXT else whole
    return Answer(200, msgspec.json.encode(body).decode())


RENDER: dict[Form, Callable[[Transcript], str]] = {
    Form.TEXT: lambda transcript: " ".join(final.text for final in transcript.finals),
    Form.SRT: lambda transcript: srt(transcript.finals),
    Form.VTT: lambda transcript: vtt(transcript.finals),
}
"""All of them are text/plain (OpenAPI)."""


def _refuse(problem: Problem) -> Answer:
    status, body, headers = _refusal(problem)
    return Answer(status, body, headers=headers)


# the WebSocket


class Speechall:
    """One connection."""

    name = "speechall"
    paths: tuple[str, ...] = (PATH,)
    realm = "speechall"
    limits = Limits(flush_s=FLUSH_S)
    endpoints: tuple[Endpoint, ...] = (Endpoint("POST", PATH, _read, _refuse, upload=True),)

    def __init__(self, query: Query) -> None:
        self._query = query
        self._language = ""
        self._id = str(uuid.uuid4())
        """Of the utterance that comes next."""
        self._cues = 0

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        try:
            query = read(handshake.query)
        except Refused as refused:
            return cls.refuse(refused.problem, handshake)
        options = SessionOptions(
            languages=query.languages,
            endpointing=structs.replace(handshake.endpointing, mode=Mode.VAD, silence_to_end_ms=SILENCE_MS),
            partial_ms=PARTIAL_MS if query.interim else 0,
        )
        who = keys(handshake.headers, handshake.query)
        return Opening(
            dialect=cls(query), options=options, limits=handshake.limits, keys=who, containers=Containers.ALLOWED
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        status, body, headers = _refusal(problem)
        return Refusal(status=status, body=body, headers=headers)

    def opening(self, session: SessionInfo) -> list[Effect]:
        self._language = session.language
        return []

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """Text frames have no meaning in this protocol and are ignored."""
        return [Hear(message)] if isinstance(message, bytes) and message else []

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial() if self._query.interim:
                return [self._json(event, self._language, is_final=False)]
            case Final(text=""):
                return []
            case Final() if self._query.output_format in JSON:
                told = self._json(event, event.language, is_final=True if self._query.interim else UNSET)
                self._id = str(uuid.uuid4())
                return [told]
            case Final():
                return [Send(self._text(event))]
            case Closed(problem=None):
                return [Hangup(1000)]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        """In words where the client reads JSON; else the close has to say it all."""
        _, code = STATUS.get(problem.kind, BAD_REQUEST)
        told = [said(_Error(problem.message, code))] if self._query.output_format in JSON else []
        return [*told, hangup(CLOSE.get(problem.kind, 1008), problem.message)]

    def _json(self, spoken: Final | Partial, language: str, *, is_final: bool | UnsetType) -> Send:
        if self._query.output_format is Form.JSON_TEXT:
            return said(_OnlyText(self._id, spoken.text, is_final))
        return said(_detailed(self._id, [spoken], language, is_final))

    def _text(self, final: Final) -> str:
        """The text, or one cue. All cues of a connection, one after the other, are a subtitle file."""
        self._cues += 1
        match self._query.output_format:
            case Form.SRT:
                return f"{self._cues}\n{_time(final.start, ',')} --> {_time(final.end, ',')}\n{final.text}\n\n"
            case Form.VTT:
                head = "WEBVTT\n\n" if self._cues == 1 else ""
                return f"{head}{_time(final.start, '.')} --> {_time(final.end, '.')}\n{final.text}\n\n"
        return final.text


def _time(samples: int, point: str) -> str:
    """As subtitles write it: ``00:01:02,345``."""
    rest, milliseconds = divmod(round(seconds(samples) * 1000), 1000)
    minutes, whole = divmod(rest, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{whole:02d}{point}{milliseconds:03d}"
