"""Sends a bundle to a box on the network and waits for its verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from appliance.update.manifest import NotTaken
from appliance.update.stage import Tell
from appliance.update.verdict import Outcome, Verdict

PATH = "/v1/update"
ANSWER_S = 60.0
VERDICT_S = 2400.0
"""Unpacking on a slow card, the old daemon's last words, and a start that measures."""
LOOK_S = 2.0
ANSWER_BYTES = 1 << 16


Answer = TypeVar("Answer")


class Told(msgspec.Struct, frozen=True):
    """As much of the box's answer as counts here."""

    verdict: Verdict | None = None
    step: str = ""
    pending: bool = False


class Remote:
    """A box at ``url`` (http or https). Everything raises ``NotTaken``: it cannot be asked, or does not want it."""

    def __init__(self, url: str, key: str) -> None:
        self._parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}"}

    def status(self) -> Told:
        """How updates stand there."""
        with self._asked("GET") as answer:
            return _read(answer, Told)

    def send(self, bundle: IO[bytes], size: int) -> None:
        """All of it."""
        with self._asked("PUT", bundle, {"Content-Length": str(size), "Content-Type": "application/octet-stream"}):
            pass

    @contextmanager
    def _asked(self, method: str, body: IO[bytes] | None = None, more: dict[str, str] = {}) -> Iterator[HTTPResponse]:  # noqa: B006
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        try:
            with closing(kind(self._parts.hostname or "", self._parts.port, timeout=ANSWER_S)) as connection:
                connection.request(method, self._parts.path.rstrip("/") + PATH, body, self._headers | more)
                answer = connection.getresponse()
                if answer.status >= 300:
                    raise NotTaken(f"the box answers {answer.status}: {_words(answer)}")
                yield answer
        except (OSError, HTTPException) as error:
            raise NotTaken(f"{self._parts.netloc} cannot be asked: {error or type(error).__name__}") from error


def update(remote: Remote, bundle: IO[bytes], size: int, tell: Tell) -> Verdict:
    """Send it and wait. Raises ``NotTaken``; that the box does not answer while its daemon starts anew is expected."""
    before = remote.status().verdict
    tell("sending it")
    remote.send(bundle, size)
    tell("sent; the box tries it")
    end, last, silent = time.monotonic() + VERDICT_S, "", ""
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        try:
            told = remote.status()
        except NotTaken as error:
            silent = str(error)
            continue
        if told.step and told.step != last:
            last = told.step
            tell(told.step)
        verdict = told.verdict
        if verdict and verdict != before and verdict.outcome is not Outcome.TRYING and not told.step:
            return verdict
    raise NotTaken(f"no verdict in {VERDICT_S / 60:.0f} minutes; {silent}")


def _words(answer: HTTPResponse) -> str:
    try:
        return str(_read(answer, dict[str, Any])["error"])
    except (NotTaken, KeyError):
        return answer.reason


def _read(answer: HTTPResponse, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(answer.read(ANSWER_BYTES), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotTaken(f"what answers there is no appliance: {error}") from error
