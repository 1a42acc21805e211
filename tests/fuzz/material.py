"""Requests and messages of clients, whole and damaged."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import strategies as st
from msgspec import Struct

from appliance.dialects import DIALECTS
from appliance.dialects.base import Dialect
from tests.conversations import Side, of, parse
from tests.conversations.codec import endpoint, fits


class Known(Struct):
    """What the conversations of a dialect have: paths, queries, headers, messages and bodies."""

    paths: list[str]
    names: list[str]
    values: list[str]
    headers: list[str]
    texts: list[str]


def known(dialect: type[Dialect]) -> Known:
    found = Known([], [], ["", "-1", "0", "1e999", "NaN", "9" * 30, "true", "True", "[", '["a"]', "é\u0000"], [], [])
    for path in of(dialect.name):
        for line in parse(path.read_text()):
            if line.side is not Side.CLIENT:
                continue
            if line.verb in ("GET", "POST"):
                parts = urlsplit(line.rest)
                if any(fits(template, parts.path) for template in dialect.paths) and not endpoint(
                    line.verb, parts.path
                ):
                    found.paths.append(parts.path)
                for name, value in parse_qsl(parts.query, keep_blank_values=True):
                    found.names.append(name)
                    found.values.append(value)
            elif line.verb.endswith(":"):
                found.headers.append(line.verb[:-1].lower())
                found.values.append(line.rest)
            elif line.verb in ("text", "body"):
                found.texts.append(line.rest)
    found.paths = found.paths or [dialect.paths[0]]
    return found


KNOWN = {dialect.name: known(dialect) for dialect in DIALECTS}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@st.composite
def requests(draw: st.DrawFn, name: str) -> tuple[str, dict[str, str], list[tuple[str, str]]]:
    """A path of the dialect with headers and a query, known names with known and unknown values."""
    of_it = KNOWN[name]
    words = st.sampled_from(of_it.values) | st.text(max_size=20)
    query = st.lists(st.tuples(st.sampled_from(of_it.names or ["x"]) | st.text(max_size=8), words), max_size=8)
    headers = st.dictionaries(st.sampled_from(of_it.headers or ["x"]), words, max_size=5)
    return draw(st.sampled_from(of_it.paths)), draw(headers), draw(query)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> str:
    """A message of the conversations with something else in it."""
    text = draw(st.sampled_from(KNOWN[name].texts or ["{}"]))
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if isinstance(message, dict) and message:
        key = draw(st.sampled_from(sorted(message)))
        message[key] = draw(values)
        return json.dumps(message)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=5)) + text[at:]


def messages(name: str) -> st.SearchStrategy[str | bytes]:
    """What may come over the socket."""
    texts = st.sampled_from(KNOWN[name].texts or ["{}"])
    deep: list[Any] = ["[" * 5_000, '{"a":' * 5_000, '{"type":"\\ud800"}', '{"a":' + "1" * 5_000 + "}"]
    return (
        texts | texts | damaged(name) | st.text(max_size=40) | values.map(lambda value: json.dumps(value))
        | st.sampled_from(deep) | st.binary(max_size=200) | st.integers(0, 70_000).map(bytes)
    )  # fmt: skip
