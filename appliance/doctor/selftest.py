"""Plays the canary to a running daemon in real time, as a client does, and judges what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from appliance.canary import RATE, Canary, same
from appliance.core.problems import Kind
from appliance.scheduling.figures import Figure

CHUNK = RATE // 10
"""Samples in a message, as most clients send."""
SILENCE_MS = 700
"""Ends the phrase, whatever the configuration says of other clients."""
OPEN_S = 10.0
"""For the handshake: a daemon that holds back strangers answers within 5."""
NOT_NOW = (Kind.TOO_MANY_STREAMS, Kind.TOO_MANY_SESSIONS, Kind.SHUTTING_DOWN)
"""The box has better things to do; that is no fault."""


class Answer(Struct, kw_only=True):
    """What came back. ``delay_s``: from the end of the speech to its final; ``problem``: why there is no more."""

    model: str = ""
    language: str = ""
    text: str = ""
    delay_s: float | None = None
    refused: str = ""
    """The kind of a refusal, as in ``core.problems``."""
    problem: str = ""


class Event(Struct, frozen=True):
    """What we look at in a message of the daemon's, of whichever type."""

    type: str
    model: str = ""
    language: str = ""
    text: str = ""
    error: str = ""
    message: str = ""


class Verdict(Struct, frozen=True):
    """``line`` is all there is to say."""

    good: bool
    line: str


async def play(url: str, key: str, canary: Canary, patience_s: float) -> Answer:
    """Speak to the daemon at ``url`` (http); its final gets ``patience_s`` after the end of the audio. Never raises."""
    from websockets.exceptions import InvalidStatus, WebSocketException

    answer = Answer()
    try:
        async with asyncio.timeout(OPEN_S + len(canary.samples) / RATE + patience_s):
            await _converse(url, key, canary, patience_s, answer)
    except InvalidStatus as error:
        answer.refused, answer.problem = _refusal(error.response.status_code, bytes(error.response.body or b""))
    except TimeoutError:
        answer.problem = f"no answer {patience_s:.0f} s after the end"
    except (OSError, ValueError, RecursionError, WebSocketException) as error:
        answer.problem = answer.problem or f"{url}: {error}"
    return answer


def expected(answer: Answer, canary: Canary, figures: Mapping[str, Figure]) -> str | None:
    """What the model should write: the same as when it was measured, or else the words; ``None`` if nobody knows."""
    kept = figures.get(answer.model)
    if kept is not None and kept.heard:
        return kept.heard
    return canary.text if answer.language == "en" else None


def judge(answer: Answer, wanted: str | None) -> Verdict:
    """Whether that was right, in one line. Pure."""
    if answer.refused in NOT_NOW:
        return Verdict(True, f"busy, not tested: {answer.problem}")
    if answer.problem:
        return Verdict(False, f"failed: {answer.problem}")
    when = "" if answer.delay_s is None else f", {answer.delay_s:.2f} s after the end of the speech"
    if wanted is None:
        if not answer.text:
            return Verdict(False, f"failed: {answer.model} wrote nothing")
        return Verdict(True, f"good: {answer.model} ({answer.language}) wrote {answer.text!r}{when}; not compared")
    if not same(wanted, answer.text):
        return Verdict(False, f"failed: {answer.model} wrote {answer.text!r} and not {wanted!r}{when}")
    return Verdict(True, f"good: {answer.model} wrote {answer.text!r}{when}")


async def _converse(url: str, key: str, canary: Canary, patience_s: float, answer: Answer) -> None:
    from websockets.asyncio.client import connect

    query = urlencode({"silence_to_end_ms": SILENCE_MS, "partial_ms": 0})
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(
        f"ws{url.removeprefix('http')}/v1/stream?{query}", additional_headers=headers, compression=None, proxy=None
    ) as socket:
        began = time.monotonic()
        hearing = asyncio.create_task(_hear(socket, answer, began + canary.speech_end_s))
        try:
            data = canary.samples.astype("<i2")
            for start in range(0, len(data), CHUNK):
                end = min(start + CHUNK, len(data))
                await asyncio.sleep(began + end / RATE - time.monotonic())  # sent when its last sample was spoken
                if hearing.done():
                    break
                await socket.send(data[start:end].tobytes())
            if not hearing.done():
                await socket.send('{"type": "finish"}')
            async with asyncio.timeout(patience_s):
                await hearing
        finally:
            hearing.cancel()


async def _hear(socket: Any, answer: Answer, speech_end: float) -> None:
    """Until the session is closed."""
    texts = []
    closed = False
    async for message in socket:
        event = msgspec.json.decode(message, type=Event)
        match event.type:
            case "begin":
                answer.model, answer.language = event.model, event.language
            case "final" if event.text:
                texts.append(event.text)
                answer.text = " ".join(texts)
                answer.delay_s = time.monotonic() - speech_end
            case "closed":
                closed = True
            case "error":
                answer.refused, answer.problem = event.error, event.message or "an error without words"
                return
    if not closed:
        answer.problem = "the connection ended before the session did"


def _refusal(status: int, body: bytes) -> tuple[str, str]:
    """Kind and words of a handshake's refusal."""
    try:
        told = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError):
        return "", f"refused with HTTP status {status}"
    return told.get("error", ""), told.get("message") or f"refused with HTTP status {status}"
