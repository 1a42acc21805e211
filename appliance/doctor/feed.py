"""The listen test where the daemon has the card: what its feed says in some seconds. Words, no levels."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from appliance.doctor.box import ANSWER_S, Box
from appliance.doctor.findings import Finding, finding

LAST_WORDS_S = 3.0
"""Somebody who was speaking when the time was over gets to end."""


class FeedError(Exception):
    """The daemon does not let us listen; the message says why."""


class Followed(Struct, kw_only=True):
    """What the feed said. ``state`` is its last message about the microphone."""

    state: dict[str, Any] = {}
    overruns: int = 0
    speech: int = 0
    texts: list[str] = []


def follow(box: Box, name: str, seconds: float) -> Followed:
    """Subscribe to the microphone ``name``. Raises ``FeedError``."""
    return asyncio.run(_follow(box, name, seconds))


def judge(followed: Followed) -> list[Finding]:
    """In words. Pure."""
    state = followed.state
    said = f"{state.get('name')}: {state.get('state')}, {state.get('reason')}"
    ready = state.get("state") == "ready"
    heard = [f"speech began {followed.speech} times" if followed.speech else "no speech was detected"]
    heard += [f"it wrote: {text}" for text in followed.texts]
    notes = [] if followed.texts else ["say something while it listens"]
    lost = followed.overruns
    return [
        finding("microphone", [said] if ready else [], bad=[] if ready else [said]),
        finding("overruns", [f"audio was lost {lost} times while we listened"], notes=["too busy"] if lost else []),
        finding("speech", heard, notes=notes if ready else []),
    ]


async def _follow(box: Box, name: str, seconds: float) -> Followed:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    followed, first = Followed(), None
    url = f"ws{box.url.removeprefix('http')}/v1/microphones/{quote(name)}"
    headers = {"Authorization": f"Bearer {box.key}"} if box.key else {}
    end = time.monotonic() + seconds
    try:
        async with connect(
            url, additional_headers=headers, compression=None, open_timeout=ANSWER_S, proxy=None
        ) as socket:
            speaking = False
            while (left := end + LAST_WORDS_S * speaking - time.monotonic()) > 0:
                try:
                    message = await asyncio.wait_for(socket.recv(), left)
                except TimeoutError:
                    continue
                event = msgspec.json.decode(message)
                match event["type"]:
                    case "microphone":
                        followed.state = event
                        first = event["overruns"] if first is None else first
                    case "speech_started":
                        speaking = True
                        followed.speech += 1
                    case "final":
                        speaking = False
                        followed.texts.append(event["text"])
    except InvalidStatus as error:
        told = bytes(error.response.body or b"").decode(errors="replace")
        raise FeedError(f"the daemon does not let us listen: {told or error}") from error
    except (OSError, ValueError, KeyError, TypeError, WebSocketException) as error:
        raise FeedError(f"{box.url}: {error}") from error
    followed.overruns = followed.state.get("overruns", 0) - (first or 0)
    return followed
