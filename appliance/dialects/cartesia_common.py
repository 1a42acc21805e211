"""What Cartesia's two endpoints share: who asks, how the audio is encoded, and the one error object.

Facts from the SDKs (PyPI cartesia 2.0.17 and 4.2.0, npm @cartesia/cartesia-js) and the vendor's API reference; what
they leave open and what was chosen is in docs/dialects/cartesia.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from appliance.core.options import AudioFormat, Encoding, Limits
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import Answer, Effect, Hangup, Refusal, hangup, said

REALM = "cartesia"
ID_HEADER = "x-request-id"
"""LiveKit's plugin reads it from the answer to the upgrade."""
LIMITS = Limits(idle_s=180)
"""Three minutes without any message (quoted by Pipecat); the text of 2025 says 20 s, and a longer wait hurts nobody."""
IDLE = "connection idle timeout"
GOING_AWAY = Hangup(1001, "The server is shutting down")
"""An end that the client has not asked for. The SDKs stop reading at it without an error, and may reconnect."""

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
KEYTERMS, KEYTERM_CHARACTERS = 100, 1_200
"""Most terms, and most characters of all of them together (API reference)."""
LANGUAGE = re.compile(r"([a-z]{2,3})([-_][a-z0-9]{1,8})*")
"""ISO 639; a region after it is dropped."""
SHOWN = 40
"""Characters of a bad value that a message repeats."""


class Fault(Struct, frozen=True):
    """A problem in the vendor's words; ``close`` ends the socket after it."""

    status: int
    title: str
    code: str
    close: int


BAD_REQUEST = Fault(400, "Bad request", "invalid_request", 1008)
FAULTS: dict[Kind, Fault] = {
    Kind.NO_KEY: Fault(401, "Unauthorized", "missing_api_key", 1008),
    Kind.BAD_KEY: Fault(401, "Unauthorized", "invalid_api_key", 1008),
    Kind.QUOTA_EXCEEDED: Fault(402, "Payment required", "quota_exceeded", 1008),
    Kind.NOT_ALLOWED: Fault(403, "Forbidden", "plan_required", 1008),
    Kind.TERMS_NOT_ACCEPTED: Fault(403, "Forbidden", "terms_not_accepted", 1008),
    Kind.TOO_MANY_SESSIONS: Fault(429, "Too many connections", "concurrency_limit", 1008),
    Kind.TOO_MANY_STREAMS: Fault(429, "Too many connections", "server_busy", 1008),
    Kind.RATE_LIMITED: Fault(429, "Too many requests", "rate_limited", 1008),
    Kind.NOT_READY: Fault(503, "Service unavailable", "not_ready", 1011),
    Kind.SHUTTING_DOWN: Fault(503, "Service unavailable", "shutting_down", 1012),
    Kind.NO_MODEL: Fault(400, "Invalid model", "model_not_found", 1000),
    Kind.UNKNOWN_LANGUAGE: Fault(400, "Invalid language", "invalid_language", 1000),
    Kind.BAD_RATE: Fault(400, "Invalid sample rate", "invalid_sample_rate", 1000),
    Kind.BAD_ENCODING: Fault(400, "Invalid encoding", "invalid_encoding", 1000),
    Kind.BAD_OPTION: Fault(400, "Invalid parameter", "invalid_parameter", 1000),
    Kind.BAD_MESSAGE: Fault(400, "Invalid message", "invalid_message", 1008),
    Kind.MESSAGE_TOO_BIG: Fault(413, "Message too big", "message_too_big", 1008),
    Kind.TOO_FAST: Fault(429, "Audio too fast", "audio_too_fast", 1008),
    Kind.TOO_LONG: Fault(408, "Session too long", "session_too_long", 1008),
    Kind.CLIENT_TOO_SLOW: Fault(408, "Client too slow", "client_too_slow", 1008),
    Kind.QUEUE_OVERFLOW: Fault(503, "Service unavailable", "server_overloaded", 1011),
    Kind.ENGINE_FAILED: Fault(500, "Internal error", "internal_error", 1011),
}
"""``BAD_REQUEST`` for all others. Only ``model_not_found`` is a published code. SDKs reconnect after 1011 and 1012."""
BEFORE_UPGRADE = frozenset({401, 402, 403, 429, 503})
"""Refusals told by status; all others are told in-band, as the vendor does with a wrong sample rate."""


def keys(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, ...]:
    """The four places of a key or token: two headers, and two parameters for browsers and the SDK 2."""
    scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
    given = (
        bearer if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", ""),
        query.get("access_token", ""),
        query.get("api_key", ""),
    )
    return tuple(dict.fromkeys(key.strip() for key in given if key.strip()))


def audio_format(asked: Mapping[str, str]) -> AudioFormat:
    """``encoding`` and ``sample_rate`` (Hz). Raises ``Refused``."""
    encoding = asked.get("encoding") or Encoding.S16LE
    if encoding not in list(Encoding):
        raise Refused(Kind.BAD_ENCODING, f"encoding {encoding[:SHOWN]!r}; expected one of {', '.join(Encoding)}")
    rate = asked.get("sample_rate") or "16000"
    if not re.fullmatch("[0-9]{1,9}", rate) or not LOWEST_RATE <= int(rate) <= HIGHEST_RATE:
        expected = f"expected a whole number from {LOWEST_RATE} to {HIGHEST_RATE}"
        raise Refused(Kind.BAD_RATE, f"sample_rate {rate[:SHOWN]!r}; {expected}")
    return AudioFormat(encoding=Encoding(encoding), rate=int(rate))


RENAMED = {"jw": "jv"}
"""Whisper's name of Javanese, and ISO 639-1's."""


def language(asked: Mapping[str, str]) -> str:
    """The language's code, lower case and without a region; empty when none is asked for. Raises ``Refused``."""
    given = asked.get("language", "").strip().lower()
    if not given:
        return ""
    found = LANGUAGE.fullmatch(given)
    if found is None:
        raise Refused(Kind.UNKNOWN_LANGUAGE, f"language {given[:SHOWN]!r}; expected an ISO 639-1 code")
    return RENAMED.get(found.group(1), found.group(1))


def number(name: str, value: str | float, lowest: float, highest: float) -> float:
    """A parameter between two bounds, both allowed. Raises ``Refused``."""
    try:
        read = float(value)
    except (ValueError, OverflowError):
        read = float("nan")
    if not lowest <= read <= highest:
        raise Refused(Kind.BAD_OPTION, f"{name} {str(value)[:SHOWN]!r}; expected {lowest:g} to {highest:g}")
    return read


def check_keyterms(query: Sequence[tuple[str, str]]) -> None:
    """Raises ``Refused`` for more than the vendor takes."""
    terms = [value for name, value in query if name == "keyterm"]
    if len(terms) > KEYTERMS or sum(map(len, terms)) > KEYTERM_CHARACTERS:
        expected = f"expected at most {KEYTERMS} terms of {KEYTERM_CHARACTERS} characters together"
        raise Refused(Kind.BAD_OPTION, f"keyterm {len(terms)} times; {expected}")


def error(problem: Problem, request_id: str = "") -> dict[str, object]:
    """The larger error object of the API of 2026. ``code`` is what LiveKit reads."""
    fault = FAULTS.get(problem.kind, BAD_REQUEST)
    return {
        "title": fault.title,
        "message": problem.message,
        "error_code": fault.code,
        "status_code": fault.status,
        "code": fault.status,
        "doc_url": None,
        **({"request_id": request_id} if request_id else {}),
    }


def failure(problem: Problem, request_id: str = "") -> list[Effect]:
    """An error and the close after it; idleness is a close alone."""
    if problem.kind is Kind.IDLE:
        return [Hangup(1000, IDLE)]
    close = FAULTS.get(problem.kind, BAD_REQUEST).close
    return [said({"type": "error", **error(problem, request_id)}), hangup(close, problem.message)]


def refusal(problem: Problem) -> Refusal:
    """No session: by HTTP or in-band."""
    answer = refused(problem)
    if answer.status in BEFORE_UPGRADE:
        return Refusal(status=answer.status, body=answer.body)
    return Refusal(effects=tuple(failure(problem)))


def refused(problem: Problem) -> Answer:
    """The same over plain HTTP."""
    return Answer(FAULTS.get(problem.kind, BAD_REQUEST).status, msgspec.json.encode(error(problem)).decode())
