"""Plays a conversation against a codec alone: no socket, no session."""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import parse_qsl, urlsplit

import msgspec

from appliance.core.events import AnyEvent
from appliance.core.options import Changes
from appliance.core.problems import Kind, Problem
from appliance.dialects import DIALECTS
from appliance.dialects.base import (
    Answer,
    Command,
    Configure,
    Dialect,
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
)
from tests.conversations import Line, Side, like, parse

BEGIN = 1_700_000_000.0
SESSION = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"


def fits(template: str, path: str) -> bool:
    """Whether a path is one of a template with ``{name}`` parts."""
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path) is not None


def endpoint(method: str, path: str) -> Endpoint | None:
    """The HTTP endpoint of a dialect at this path, if there is one."""
    every = (endpoint for dialect in DIALECTS for endpoint in dialect.endpoints)
    return next((one for one in every if one.method == method and fits(one.path, path)), None)


class Player:
    """What the codec has said and nobody has read waits in ``said``; it must be empty before anything else happens."""

    def __init__(self) -> None:
        self.dialect: Dialect | None = None
        self.said: deque[Command | Effect | Answer | TokenWish | Upload] = deque()
        self.now = BEGIN
        self._request: tuple[str, str, dict[str, str]] | None = None
        self._body = b""
        self._wish: TokenWish | Upload | None = None

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
        request = line.side is Side.CLIENT and (line.verb.endswith(":") or line.verb == "body")
        if line.side is Side.SESSION and line.verb == "refuse":
            self._open(Problem(Kind(line.rest.partition(":")[0]), line.rest.partition(":")[2].strip()))
            return
        if not request:
            self._open()
        if line.side in (Side.CLIENT, Side.SESSION) and not request:
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
        if line.verb in ("GET", "POST"):
            assert self.dialect is None, "one conversation is one connection"
            self._request, self._body, self._wish = (line.verb, line.rest, {}), b"", None
        elif line.verb.endswith(":"):
            assert self._request is not None, "headers follow GET or POST"
            self._request[2][line.verb[:-1].lower()] = line.rest
        elif line.verb == "body":
            assert self._request is not None, "a body follows the headers"
            self._body = line.rest.encode()
        elif line.verb == "text":
            self.said += self._codec().receive(line.rest)
        elif line.verb == "audio":
            self.said += self._codec().receive(bytes(int(line.rest)))
        else:
            raise ValueError(f"a client does not {line.verb!r}")

    def _open(self, refused: Problem | None = None) -> None:
        """The request is complete; the server may have something against it."""
        if self._request is None:
            assert refused is None, "there is no request to be refused"
            return
        (method, target, headers), self._request = self._request, None
        parts = urlsplit(target)
        query = parse_qsl(parts.query, keep_blank_values=True)
        plain = endpoint(method, parts.path)
        if plain is not None and "upgrade" not in headers:
            answer = plain.read(Request(parts.path, headers, query, self._body))
            self.said.append(plain.refuse(refused) if refused is not None else answer)
            return
        kind = next(dialect for dialect in DIALECTS if any(fits(path, parts.path) for path in dialect.paths))
        handshake = Handshake(parts.path, headers, query, limits=kind.limits)
        opening = kind.open(handshake)
        match opening:
            case Opening() if refused is not None:
                self._refused(kind.refuse(refused, handshake))
            case Opening(keys=()):
                self._refused(kind.refuse(Problem(Kind.NO_KEY), handshake))
            case Opening(dialect=dialect, options=options):
                self.dialect = dialect
                language = (options.languages or ("en",))[0]
                resumed = opening.resume is not None
                self.said += dialect.opening(SessionInfo(SESSION, language, "fake", lambda: self.now, resumed))
            case Refusal():
                self._refused(opening)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.effects:
            self.said += refusal.effects
        else:
            self.said.append(Answer(refusal.status, refusal.body, headers=refusal.headers))

    def _codec(self) -> Dialect:
        assert self.dialect is not None, "the conversation has not begun, or was refused"
        return self.dialect

    def _session(self, line: Line) -> None:
        if line.verb == "clock":
            self.now = BEGIN + float(line.rest)
        elif line.verb == "problem":
            kind, _, detail = line.rest.partition(":")
            self.said += self._codec().fail(Problem(Kind(kind), detail.strip()))
        elif line.verb == "issued":
            assert isinstance(self._wish, TokenWish), "no token was wanted"
            self.said.append(self._wish.answer(line.rest))
        elif line.verb == "transcript":
            assert isinstance(self._wish, Upload), "nothing was uploaded"
            self.said.append(self._wish.answer(msgspec.json.decode(line.rest, type=Transcript)))
        else:
            self.said += self._codec().emit(msgspec.json.decode(line.rest, type=AnyEvent))

    def _server(self, line: Line) -> None:
        assert self.said, "the server says nothing"
        said = self.said.popleft()
        match said:
            case Send(text=text) if line.verb == "text":
                assert text == line.rest, f"the server says {text!r}"
            case Send(text=text) if not line.verb:
                got = msgspec.json.decode(text)
                assert like(got, line.value), f"the server says {text}"
            case Hangup(code=code, reason=reason) if line.verb == "close":
                assert f"{code} {reason}".strip() == line.rest, f"the server closes with {code} {reason}"
            case Answer(status=status, body=body) if line.verb == "HTTP":
                expected, _, wanted = line.rest.partition(" ")
                assert str(status) == expected, f"the server answers {said}"
                if wanted.startswith("{"):
                    assert like(msgspec.json.decode(body), msgspec.json.decode(wanted)), f"the server answers {said}"
                else:
                    assert body.split() == wanted.split(), f"the server answers {said}"
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
            case TokenWish() | Upload():
                self._wish = said
                wanted = msgspec.json.decode(line.rest) if line.rest else {}
                got = {name: msgspec.to_builtins(getattr(said, name)) for name in wanted}
                assert got == wanted, f"what is wanted is {said}"
            case _:
                assert not line.rest, f"{line.verb} stands alone"
