"""Every codec alone, against arbitrary requests, messages and events."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from appliance.core.events import (
    AnyEvent,
    Cause,
    Closed,
    Committed,
    Final,
    Heard,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Word,
)
from appliance.core.problems import Kind, Problem
from appliance.dialects import DIALECTS
from appliance.dialects.base import (
    Answer,
    Dialect,
    Effect,
    Finish,
    Handshake,
    Hangup,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
    Upload,
)
from tests.fuzz.material import messages, requests

SESSION = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"
PROTOCOL = {1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013}
"""Close codes of RFC 6455 and its registry that a server may send."""
PAGES = Path(__file__).parents[2] / "docs" / "dialects"
STATE_BYTES = 60_000
"""What a codec may keep, whatever it was sent."""

words = st.builds(
    Word, st.text("abc", min_size=1, max_size=5), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1)
)
texts = st.text("abc ", max_size=20)
problems = st.builds(Problem, st.sampled_from(Kind), st.text(max_size=200))
events: st.SearchStrategy[AnyEvent] = (
    st.builds(SpeechStarted, st.integers(0, 10**6))
    | st.builds(SpeechEnded, st.integers(0, 10**6))
    | st.builds(Partial, st.integers(0, 9), texts, st.lists(words, max_size=4).map(tuple), st.integers(0, 4),
                st.integers(0, 10**6), st.integers(0, 10**6))
    | st.builds(Final, st.integers(0, 9), texts, st.lists(words, max_size=4).map(tuple), st.floats(0, 1),
                st.sampled_from(["en", "hi"]), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(Cause))
    | st.builds(Committed, st.integers(0, 10**6), st.booleans())
    | st.builds(Heard, st.integers(0, 10**7))
)  # fmt: skip


@cache
def documented(dialect: type[Dialect]) -> set[int]:
    """Close codes that the dialect's page names."""
    page = next(path for path in PAGES.glob("*.md") if dialect.name.startswith(path.stem))
    return {int(code) for code in re.findall(r"\b(?:1\d{3}|3\d{3}|4\d{3})\b", page.read_text())}


def lawful(effects: Any, dialect: type[Dialect]) -> bool:
    """Checks what the codec says; whether it hung up."""
    effects = list(effects)
    for effect in effects:
        match effect:
            case Send(text=text):
                text.encode()
            case Hangup(code=code, reason=reason):
                assert effect is effects[-1], "something follows a hangup"
                assert code in documented(dialect), f"the page does not name {code}"
                assert code in PROTOCOL or 3000 <= code < 5000
                assert len(reason.encode()) <= 123
    return bool(effects) and isinstance(effects[-1], Hangup)


def size(value: Any, seen: set[int]) -> int:
    """Bytes of an object and all that only it holds, roughly."""
    if id(value) in seen or isinstance(value, type) or callable(value):
        return 0
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, Mapping):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
        inside = list(value)
    elif isinstance(value, Struct):
        inside = [getattr(value, name) for name in value.__struct_fields__]
    elif hasattr(value, "__dict__"):
        inside = list(vars(value).values())
    return sys.getsizeof(value) + sum(size(one, seen) for one in inside)


def opened(dialect: type[Dialect], path: str, headers: dict[str, str], query: list[tuple[str, str]]) -> Opening | None:
    """The opening, when the request makes sense; a refusal is checked."""
    answer = dialect.open(Handshake(path, headers, query, limits=dialect.limits))
    if isinstance(answer, Refusal):
        check(answer, dialect)
        return None
    assert answer.options.audio.bytes_per_second > 0
    assert all(isinstance(key, str) for key in answer.keys)
    return answer


def check(refusal: Refusal, dialect: type[Dialect]) -> None:
    if refusal.status:
        assert 400 <= refusal.status < 600
        assert not refusal.effects
    else:
        assert lawful(refusal.effects, dialect), "a refusal ends with a close"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_requests(dialect: type[Dialect]) -> None:
    @given(requests(dialect.name), problems)
    def holds(request: tuple[str, dict[str, str], list[tuple[str, str]]], problem: Problem) -> None:
        opened(dialect, *request)
        path, headers, query = request
        check(dialect.refuse(problem, Handshake(path, headers, query, limits=dialect.limits)), dialect)

    holds()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_conversations(dialect: type[Dialect]) -> None:
    """In any order; nothing is said after a hangup, and a session's end is always one."""
    steps = st.lists(messages(dialect.name) | events | problems, max_size=30)

    @settings(suppress_health_check=[*HealthCheck])
    @given(requests(dialect.name), steps, st.none() | problems)
    def holds(request: Any, steps: list[Any], last: Problem | None) -> None:
        opening = opened(dialect, *request) or opened(dialect, *simplest(dialect))
        assert opening is not None
        codec = opening.dialect
        over = lawful(codec.opening(SessionInfo(SESSION, "en", "fake", lambda: 1.7e9)), dialect)
        for step in steps:
            if over:
                return
            over = lawful(said(codec, step), dialect)
        if not over:
            assert lawful(codec.emit(Closed(16_000, last)), dialect), "the end of a session is a close"

    holds()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_nothing_grows(dialect: type[Dialect]) -> None:
    """The same message again and again, with or without answers of the session."""

    @settings(max_examples=20)
    @given(messages(dialect.name), events, st.booleans())
    def holds(message: str | bytes, event: AnyEvent, answered: bool) -> None:
        opening = opened(dialect, *simplest(dialect))
        assert opening is not None
        codec = opening.dialect
        codec.opening(SessionInfo(SESSION, "en", "fake", lambda: 1.7e9))
        for _ in range(400):
            if lawful(said(codec, message), dialect) or (answered and lawful(codec.emit(event), dialect)):
                return
        assert size(codec, set()) <= STATE_BYTES

    holds()


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d.endpoints], ids=lambda dialect: dialect.name)
def test_endpoints(dialect: type[Dialect]) -> None:
    bodies = messages(dialect.name).map(lambda m: m if isinstance(m, bytes) else m.encode(errors="surrogatepass"))

    @given(requests(dialect.name), bodies, problems, st.text(min_size=1, max_size=20))
    def holds(request: Any, body: bytes, problem: Problem, token: str) -> None:
        _, headers, query = request
        for endpoint in dialect.endpoints:
            asked = endpoint.read(Request(endpoint.path, headers, query, b"" if endpoint.upload else body))
            assert 400 <= endpoint.refuse(problem).status < 600
            match asked:
                case Answer(status=status):
                    assert 400 <= status < 600
                case TokenWish():
                    assert 0 < asked.lifetime_s <= 400_000
                    assert asked.answer(token).status == 200
                case Upload():
                    assert asked.options.partial_ms == 0

    holds()


def said(codec: Dialect, step: Any) -> list[Effect]:
    """What the codec says to a message, an event or a problem."""
    if isinstance(step, str | bytes):
        asked = codec.receive(step)
        assert sum(isinstance(one, Finish) for one in asked) <= 1
        return [one for one in asked if isinstance(one, Send | Hangup)]
    return codec.fail(step) if isinstance(step, Problem) else codec.emit(step)


def simplest(dialect: type[Dialect]) -> tuple[str, dict[str, str], list[tuple[str, str]]]:
    """A request that is good for every dialect."""
    headers = {"authorization": "key", "xi-api-key": "key", "x-api-key-id": "key"}
    query = [("sample_rate", "16000"), ("model", "any.any"), ("model_id", "scribe_v2_realtime")]
    if dialect.name == "native":
        return dialect.paths[0], headers, []
    return dialect.paths[0], headers, query
