"""Golden conversations: what a client and a server of a dialect say to each other, readable as documentation.

A file is a sequence of lines. Blank lines and lines that begin with ``#`` are for people; two spaces at the beginning
of a line continue the one before.

    > GET /stt/v3/stream?name=value     the client opens
    > lang_code: en-IN                  its headers
    > text {"type": "ping"}             it sends a text message
    > audio 1024                        it sends so many bytes of silence
    = Hear 1024                         what the session is asked to do: Hear N, Commit, Finish, KeepAlive,
    = Configure {"partial_ms": 0}       or Configure with the changes
    ! {"type": "speech_started", "at": 16000}    the session tells an event
    ! problem too_long: detail          the session ends with a problem
    ! refuse bad_key                    right after the request: the server has this against it
    ! clock 12.5                        seconds since the conversation began
    < {"type": "connected"}             the server sends JSON: the same keys, the same values
    < text hello                        it sends exactly this text
    < close 1000 reason                 it closes the socket
    < HTTP 401 {"type": "error"}        it answers without an upgrade; a body that is no JSON: word by word

Plain HTTP beside the WebSocket; several requests may follow each other:

    > POST /access-token                the client asks
    > body {"expires_in": 60}           after the headers
    = TokenWish {"lifetime_s": 60.0}    a token is wanted, among other things so; or Upload
    ! issued tok_1                      it is made
    ! transcript {"finals": [], "audio": 16000, "language": "en"}    or the upload was transcribed
    < HTTP 200 {"token": "tok_1"}

Strings ``<time>``, ``<when>``, ``<uuid>``, ``<hex>``, ``<text>`` and ``<number>`` in a server's line stand for any
value of that form.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

HERE = Path(__file__).parent

FORMS = {
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "<when>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"),
    "<hex>": re.compile(r"[0-9a-f]{32}"),
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "<text>": re.compile(r".+", re.DOTALL),
    "<number>": re.compile(r"-?\d+(\.\d+)?"),
}


class Side(enum.Enum):
    CLIENT = ">"
    SERVER = "<"
    SESSION = "!"
    COMMAND = "="


class Line(Struct, frozen=True):
    """``verb`` is the first word and ``rest`` what follows; for JSON the verb is empty."""

    number: int
    side: Side
    verb: str
    rest: str

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.rest)


def parse(text: str) -> Iterator[Line]:
    """The lines that count. Raises ``ValueError`` that says which one is not understood."""
    joined: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("  ") and joined:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]} {line.strip()}")
        elif line.strip() and not line.startswith("#"):
            joined.append((number, line.strip()))
    for number, line in joined:
        sign, _, rest = line.partition(" ")
        if sign not in [side.value for side in Side] or not rest:
            raise ValueError(f"line {number} is not understood: {line}")
        verb, _, more = ("", "", rest) if rest.startswith("{") else rest.partition(" ")
        yield Line(number, Side(sign), verb, more.strip())


def like(got: Any, expected: Any) -> bool:
    """Whether a JSON value is the expected one, key by key; placeholders stand for a form."""
    if isinstance(expected, str) and expected in FORMS:
        return not isinstance(got, dict | list | bool | None) and bool(
            FORMS[expected].fullmatch(got if isinstance(got, str) else json.dumps(got))
        )
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(like(got[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(like(a, b) for a, b in zip(got, expected, strict=True))
        )
    return type(got) is type(expected) and got == expected


def of(dialect: str) -> list[Path]:
    """The conversations of a dialect."""
    return sorted((HERE / dialect).glob("*.txt"))
