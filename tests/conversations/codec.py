"""Plays a conversation against a codec alone: no socket, no session."""

from __future__ import annotations

from collections import deque
from urllib.parse import parse_qsl, urlsplit

import msgspec

from appliance.core.events import AnyEvent
from appliance.core.options import Changes
from appliance.core.problems import Kind, Problem
from appliance.dialects import DIALECTS
from appliance.dialects.base import (
    Command,
    Configure,
    Dialect,
    Effect,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Send,
    SessionInfo,
)
from tests.conversations import Line, Side, like, parse

BEGIN = 1_700_000_000.0
SESSION = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"


class _Http:
    """An answer without an upgrade."""

    def __init__(self, refusal: Refusal) -> None:
        self.status, self.body = refusal.status, refusal.body

    def __repr__(self) -> str:
        return f"HTTP {self.status} {self.body}"


class Player:
    """What the codec has said and nobody has read waits in ``said``; it must be empty before anything else happens."""

    def __init__(self) -> None:
        self.dialect: Dialect | None = None
        self.said: deque[Command | Effect | _Http] = deque()
        self.now = BEGIN
        self._request: tuple[str, dict[str, str]] | None = None

    def play(self, text: str) -> None:
        """Raises ``AssertionError`` with the number of the line that does not hold."""
        for line in parse(text):
            try:
                self._line(line)
            except Exception as error:
                raise AssertionError(f"line {line.number}: {error}") from error
        self._open()
        assert not self.said, f"at the end nobody expected {list(self.said)}"

    def _line(self, line: Line) -> None:
        header = line.side is Side.CLIENT and line.verb.endswith(":")
        if not header:
            self._open()
        if line.side in (Side.CLIENT, Side.SESSION) and not header:
            assert not self.said, f"nobody expected {list(self.said)}"
        match line.side:
            case Side.CLIENT:
                self._client(line)
            case Side.SESSION:
                self._session(line)
            case Side.SERVER:
                self._server(line)
            case Side.COMMAND:
                self._command(line)

    def _client(self, line: Line) -> None:
        if line.verb == "GET":
            assert self._request is None, "one conversation is one connection"
            self._request = (line.rest, {})
        elif line.verb.endswith(":"):
            assert self._request is not None, "headers follow GET"
            assert self.dialect is None, "headers follow GET"
            self._request[1][line.verb[:-1].lower()] = line.rest
        elif line.verb == "text":
            self.said += self._codec().receive(line.rest)
        elif line.verb == "audio":
            self.said += self._codec().receive(bytes(int(line.rest)))
        else:
            raise ValueError(f"a client does not {line.verb!r}")

    def _open(self) -> None:
        """The headers are complete."""
        if self._request is None or self.dialect is not None or self.said:
            return
        target, headers = self._request
        parts = urlsplit(target)
        kind = next(dialect for dialect in DIALECTS if parts.path in dialect.paths)
        handshake = Handshake(parts.path, headers, parse_qsl(parts.query, keep_blank_values=True))
        opening = kind.open(handshake)
        match opening:
            case Opening(dialect=dialect, options=options, key=None):
                self._refused(kind.refuse(Problem(Kind.NO_KEY), handshake))
            case Opening(dialect=dialect, options=options):
                self.dialect = dialect
                language = (options.languages or ("en",))[0]
                self.said += dialect.opening(SessionInfo(SESSION, language, "fake", lambda: self.now))
            case Refusal():
                self._refused(opening)

    def _refused(self, refusal: Refusal) -> None:
        self._request = None
        self.said += refusal.effects if refusal.effects else [_Http(refusal)]

    def _codec(self) -> Dialect:
        assert self.dialect is not None, "the conversation has not begun, or was refused"
        return self.dialect

    def _session(self, line: Line) -> None:
        if line.verb == "clock":
            self.now = BEGIN + float(line.rest)
        elif line.verb == "problem":
            kind, _, detail = line.rest.partition(":")
            self.said += self._codec().fail(Problem(Kind(kind), detail.strip()))
        else:
            self.said += self._codec().emit(msgspec.json.decode(line.rest, type=AnyEvent))

    def _server(self, line: Line) -> None:
        assert self.said, "the server says nothing"
        said = self.said.popleft()
        match said:
            case Send(text=text) if not line.verb:
                got = msgspec.json.decode(text)
                assert like(got, line.value), f"the server says {text}"
            case Hangup(code=code, reason=reason) if line.verb == "close":
                assert f"{code} {reason}".strip() == line.rest, f"the server closes with {code} {reason}"
            case _Http(status=status, body=body) if line.verb == "HTTP":
                expected, _, wanted = line.rest.partition(" ")
                assert str(status) == expected, f"the server answers {said}"
                assert like(msgspec.json.decode(body), msgspec.json.decode(wanted)), f"the server answers {said}"
            case _:
                raise AssertionError(f"there is {said}")

    def _command(self, line: Line) -> None:
        assert self.said, "the session is asked for nothing"
        said = self.said.popleft()
        assert type(said).__name__ == line.verb, f"there is {said}"
        match said:
            case Hear(data=data):
                assert str(len(data)) == line.rest, f"{len(data)} bytes are heard"
            case Configure(changes=changes):
                assert changes == msgspec.json.decode(line.rest, type=Changes), f"the changes are {changes}"
            case _:
                assert not line.rest, f"{line.verb} stands alone"
