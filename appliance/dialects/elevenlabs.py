"""ElevenLabs Scribe realtime, ``/v1/speech-to-text/realtime``: base64 audio in JSON messages, transcripts per commit.

Facts from the SDKs (PyPI elevenlabs 2.78.0, npm @elevenlabs/elevenlabs-js 2.73.0 and @elevenlabs/client 1.25.0), the
vendor's API reference and captures of the live service; what they leave open and what was chosen is in
docs/dialects/elevenlabs.md.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from itertools import pairwise

import msgspec
from msgspec import Struct

from appliance.core.events import RATE, AnyEvent, Cause, Closed, Committed, Final, Partial, Word, milliseconds, seconds
from appliance.core.options import Limits
from appliance.core.problems import Kind, Problem, Refused
from appliance.core.riff import audio_bytes
from appliance.dialects.base import (
    Answer,
    Command,
    Commit,
    Effect,
    Endpoint,
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
    hangup,
    said,
)
from appliance.dialects.elevenlabs_query import Query, read

REALM = "elevenlabs"
CHUNK = "input_audio_chunk"
CHUNK_BYTES = 5 << 20
"""Of one chunk's audio. The service's limit is not published; a message of 8 MiB holds 6 MiB of audio."""
SHORTEST_COMMIT = RATE * 3 // 10
"""Samples at 16 kHz that a commit needs: 0.3 s, as the live service words it."""
LEAST_CONFIDENCE = 1e-6
"""Its logarithm still is a number."""
IDLE_S = 12.0
"""The live service closes after about 10 s without a chunk; LiveKit sends an empty one a moment later."""
LONGEST_S = 10_800.0
"""Not published; longer than any session that is meant."""

FAILURES: dict[Kind, tuple[str, int]] = {
    Kind.NO_KEY: ("auth_error", 1000),
    Kind.BAD_KEY: ("auth_error", 1000),
    Kind.NOT_ALLOWED: ("auth_error", 1000),
    Kind.TERMS_NOT_ACCEPTED: ("unaccepted_terms", 1000),
    Kind.QUOTA_EXCEEDED: ("quota_exceeded", 1000),
    Kind.RATE_LIMITED: ("rate_limited", 1000),
    Kind.TOO_MANY_SESSIONS: ("rate_limited", 1000),
    Kind.TOO_MANY_STREAMS: ("resource_exhausted", 1000),
    Kind.NOT_READY: ("resource_exhausted", 1000),
    Kind.QUEUE_OVERFLOW: ("queue_overflow", 1000),
    Kind.TOO_FAST: ("queue_overflow", 1000),
    Kind.TOO_LONG: ("session_time_limit_exceeded", 1000),
    Kind.IDLE: ("insufficient_audio_activity", 1000),
    Kind.MESSAGE_TOO_BIG: ("chunk_size_exceeded", 1000),
    Kind.BAD_MESSAGE: ("input_error", 1000),
    Kind.BAD_AUDIO: ("input_error", 1000),
    Kind.BAD_RATE: ("invalid_request", 1008),
    Kind.BAD_ENCODING: ("invalid_request", 1008),
    Kind.BAD_OPTION: ("invalid_request", 1008),
    Kind.UNKNOWN_LANGUAGE: ("invalid_request", 1008),
    Kind.NO_MODEL: ("invalid_request", 1008),
    Kind.CLIENT_TOO_SLOW: ("error", 1008),
    Kind.ENGINE_FAILED: ("transcriber_error", 1011),
    Kind.SHUTTING_DOWN: ("error", 1012),
}
"""``message_type`` of a problem, and the close code after it; any other is ``error`` and 1011.

After a code other than 1000 the Python and browser SDKs report a second error.
"""
WITHOUT_REASON = "auth_error"
"""The close after any other error repeats its type."""

TOKEN_TYPE = "realtime_scribe"
TOKEN_S = 900.0
"""A token lives a quarter of an hour."""
STATUS: dict[Kind, tuple[int, str]] = {
    Kind.NO_KEY: (401, "needs_authorization"),
    Kind.BAD_KEY: (401, "invalid_api_key"),
    Kind.NOT_ALLOWED: (403, "missing_permissions"),
    Kind.RATE_LIMITED: (429, "rate_limited"),
    Kind.MESSAGE_TOO_BIG: (413, "request_too_large"),
    Kind.SHUTTING_DOWN: (503, "shutting_down"),
}
"""HTTP status and the vendor's word for it where no token is issued; 400 for all others."""


class _Chunk(Struct, frozen=True):
    """The one message of a client."""

    audio_base_64: str
    message_type: str = CHUNK
    commit: bool | None = False
    sample_rate: float | str | None = None
    previous_text: str | None = None


class _Message(Struct, tag_field="message_type"):
    """Base of everything the server says."""


class _Started(_Message, tag="session_started"):
    session_id: str
    config: dict[str, object]


class _Partial(_Message, tag="partial_transcript"):
    text: str


class _Committed(_Message, tag="committed_transcript"):
    text: str


class _Word(Struct):
    text: str
    start: float
    end: float
    type: str
    logprob: float
    speaker_id: str | None = None


class _Timed(_Message, tag="committed_transcript_with_timestamps"):
    text: str
    language_code: str | None
    words: list[_Word] | None


class _Warning(_Message, tag="warning"):
    warning: str


class _Throttled(_Message, tag="commit_throttled"):
    error: str
    message: str


def _token(request: Request) -> TokenWish | Answer:
    """Tokens of the other types would open nothing here."""
    kind = request.path.rpartition("/")[2]
    if kind != TOKEN_TYPE:
        problem = {"loc": ["path", "token_type"], "msg": f"Input should be '{TOKEN_TYPE}'", "type": "enum"}
        return _answer(422, [problem])
    return TokenWish(
        keys=_present(request.headers.get("xi-api-key")),
        realm=REALM,
        lifetime_s=TOKEN_S,
        single_use=True,
        prefix="sutkn_",
        answer=lambda token: Answer(200, said({"token": token}).text),
    )


def _no_token(problem: Problem) -> Answer:
    status, word = STATUS.get(problem.kind, (400, problem.kind.value))
    return _answer(status, {"status": word, "message": problem.message})


def _answer(status: int, detail: object) -> Answer:
    return Answer(status, said({"detail": detail}).text)


def _present(*keys: str | None) -> tuple[str, ...]:
    """The first one that says anything: a token decides alone, whatever else there is."""
    return next(((key.strip(),) for key in keys if key and key.strip()), ())


class ElevenLabs:
    """One connection."""

    name = "elevenlabs"
    paths: tuple[str, ...] = ("/v1/speech-to-text/realtime",)
    realm = REALM
    limits = Limits(idle_s=IDLE_S, longest_s=LONGEST_S)
    endpoints: tuple[Endpoint, ...] = (Endpoint("POST", "/v1/single-use-token/{token_type}", _token, _no_token),)

    def __init__(self, query: Query, limits: Limits) -> None:
        self._query = query
        self._longest_chunk = CHUNK_BYTES
        if limits.longest_frame_ms is not None:
            self._longest_chunk = min(CHUNK_BYTES, int(limits.longest_frame_ms * query.audio.bytes_per_second / 1000))
        self._received = 0
        """Bytes of audio."""
        self._cut = 0
        """Where the last commit was, in samples at 16 kHz since session start."""
        self._told = False
        """The final that answers the next ``Committed`` has been told."""

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        try:
            query = read(handshake.query)
        except Refused as refused:
            return cls.refuse(refused.problem, handshake)
        tokens = [value for name, value in handshake.query if name == "token"]
        return Opening(
            dialect=cls(query, handshake.limits),
            options=query.options(handshake.endpointing),
            limits=handshake.limits,
            keys=_present(*tokens, handshake.headers.get("xi-api-key")),
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        """In-band: the live service completes the upgrade and says why not."""
        return Refusal(effects=_failure(problem))

    def opening(self, session: SessionInfo) -> list[Effect]:
        started = _Started(session.id.replace("-", ""), self._query.config())
        return [said(started), *(said(_Warning(text)) for text in self._query.not_honoured())]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        try:
            return list(self._obey(_chunk(message)))
        except Refused as refused:
            return list(_failure(refused.problem))

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case Partial(text=text) if text:
                return [said(_Partial(text))]
            case Final():
                self._told = event.cause is Cause.COMMIT
                self._cut = max(self._cut, min(self._end(event), self._position))
                return self._committed(event.text, event)
            case Committed():
                told, self._told = self._told, False
                return [] if told else self._committed("")
            case Closed(problem=None):
                return [Hangup(1000)]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        return list(_failure(problem))

    def _obey(self, chunk: _Chunk) -> Iterator[Command | Effect]:
        query = self._query
        rate = chunk.sample_rate if isinstance(chunk.sample_rate, str | None) else f"{chunk.sample_rate:.10g}"
        if rate is not None and rate.strip() != str(query.audio.rate):
            raise _bad(f"sample_rate {rate[:20]} does not fit audio_format {query.audio_format}")
        encoded = "".join(chunk.audio_base_64.split())  # Android's encoder and MIME break lines (RFC 2045, 6.8)
        if len(encoded) // 4 * 3 > self._longest_chunk:
            raise Refused(Kind.MESSAGE_TOO_BIG, f"the audio of a chunk has at most {self._longest_chunk} bytes")
        try:
            audio = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise _bad("audio_base_64 is not base64") from error
        if chunk.previous_text:
            if self._received:
                raise _bad("previous_text goes with the first audio only")
            yield said(_Warning("previous_text is not honoured here: the recogniser takes no context"))
        self._received += audio_bytes(audio)
        if audio:
            yield Hear(audio)
        if chunk.commit:
            yield self._commit()
        elif not audio:
            yield KeepAlive()

    def _commit(self) -> Commit | Send:
        """A commit of too little is not one, and does no harm: the audio goes into the next."""
        waiting = self._position - self._cut
        if waiting < SHORTEST_COMMIT:
            error = f"The commit is ignored: it needs 300 ms of uncommitted audio, there are {milliseconds(waiting)} ms"
            return said(_Throttled(error, error))
        self._cut = self._position
        return Commit()

    @property
    def _position(self) -> int:
        """How much audio has come, in samples at 16 kHz."""
        return self._received * RATE // self._query.audio.bytes_per_second

    def _end(self, final: Final) -> int:
        """Where the audio of a final ends; after silence, that is part of it."""
        silence = self._query.vad_silence_threshold_secs if final.cause is Cause.SILENCE else 0.0
        return final.end + round(silence * RATE)

    def _committed(self, text: str, final: Final | None = None) -> list[Effect]:
        """One commit: the text, and what was wanted beside it in a second message."""
        told: list[Effect] = [said(_Committed(text))]
        if self._query.timed:
            told.append(said(_Timed(text, self._language(final), self._words(final))))
        return told

    def _language(self, final: Final | None) -> str | None:
        """In the form in which the client named it, if it did."""
        query = self._query
        if query.include_language_detection and final is not None and final.language != query.language:
            return final.language
        return query.language_code or None

    def _words(self, final: Final | None) -> list[_Word] | None:
        if not self._query.include_timestamps:
            return None
        return list(_spaced(final.words)) if final is not None else []


def _chunk(message: str | bytes) -> _Chunk:
    """Raises ``Refused``."""
    if isinstance(message, bytes):
        raise _bad("audio comes in text messages, as base64")
    try:
        chunk = msgspec.json.decode(message, type=_Chunk)
    except (ValueError, RecursionError) as error:
        raise _bad(str(error)) from error
    if chunk.message_type != CHUNK:
        raise _bad(f"message_type {chunk.message_type[:40]!r}; expected {CHUNK}")
    return chunk


def _bad(detail: str) -> Refused:
    return Refused(Kind.BAD_MESSAGE, detail)


def _failure(problem: Problem) -> tuple[Effect, ...]:
    """SDKs read ``error``, LiveKit's plugin ``message``."""
    kind, code = FAILURES.get(problem.kind, ("error", 1011))
    error = said({"message_type": kind, "error": problem.message, "message": problem.message})
    return error, hangup(code, "" if kind == WITHOUT_REASON else kind)


def _spaced(words: tuple[Word, ...]) -> Iterator[_Word]:
    """The words and the blanks between them: joined they are the text. Seconds since session start."""
    if words:
        yield _spoken(words[0])
    for before, word in pairwise(words):
        end = max(before.end, word.start)
        yield _Word(" ", round(seconds(before.end), 3), round(seconds(end), 3), "spacing", 0.0)
        yield _spoken(word)


def _spoken(word: Word) -> _Word:
    logprob = math.log(min(1.0, max(LEAST_CONFIDENCE, word.confidence)))
    return _Word(word.text, round(seconds(word.start), 3), round(seconds(word.end), 3), "word", logprob)
