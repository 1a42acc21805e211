"""A client outside, speaking the appliance's own protocol, and what it plays."""

from __future__ import annotations

import asyncio
import json
import re
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.speech import spoken

SENTENCE = "start four seven nine enter"
"""Words of the embedded kiosk model."""
KIOSK = '[recognizer]\nmodel = "kiosk-words"\n'
PIECE = 3200
"""Bytes of a tenth of a second."""


def sentence(before_s: float = 0.5, after_s: float = 1.5) -> bytes:
    return spoken(SENTENCE, before_s=before_s, after_s=after_s)


def recorded(folder: Path) -> Path:
    """The sentence as a WAV file."""
    path = folder / "sentence.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 16_000, 0, "NONE", ""))
        audio.writeframes(sentence())
    return path


def understood(text: str) -> bool:
    """Tell whether most words of the sentence are there, in letters or digits: "Start 4-7-9, enter." is."""
    spoken_as = {"4": "four", "7": "seven", "9": "nine"}
    words = {spoken_as.get(each, each) for each in re.findall(r"[a-z]+|[0-9]", text.lower())}
    return len(words & set(SENTENCE.split())) >= 4


async def play(socket: ClientConnection, audio: bytes) -> None:
    """Send audio as fast as it is spoken."""
    due = time.monotonic()
    for start in range(0, len(audio), PIECE):
        await socket.send(audio[start : start + PIECE])
        due += 0.1
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def until(socket: ClientConnection, kind: str, limit_s: float = 60.0, **fields: Any) -> dict[str, Any]:
    """The next message of this kind with these fields."""
    async with asyncio.timeout(limit_s):
        async for message in socket:
            event: dict[str, Any] = json.loads(message)
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event
    raise AssertionError(f"the connection ended before {kind}")


async def rest(socket: ClientConnection, limit_s: float = 60.0) -> tuple[list[dict[str, Any]], int | None]:
    """All messages until the server closes, and its close code."""
    events: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(limit_s):
            while True:
                events.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        return events, closed.rcvd.code if closed.rcvd else None


def stream(url: str, key: str) -> connect:
    """A session of the appliance's own protocol."""
    return connect(f"{url}/v1/stream?key={key}", open_timeout=30)


async def all_said(url: str, key: str, meanwhile: Callable[[], None] | None = None) -> str:
    """Speak the whole sentence to it; what it wrote. ``meanwhile`` is called in the middle, in a thread."""
    audio = sentence()
    half = 16_000 * 2 * 3 // 2
    async with stream(url, key) as socket:
        await play(socket, audio[:half])
        if meanwhile is not None:
            await asyncio.to_thread(meanwhile)
        await play(socket, audio[half:])
        await socket.send('{"type": "finish"}')
        events, code = await rest(socket)
    assert code == 1000, events
    return finals(events)


def finals(events: list[dict[str, Any]]) -> str:
    """What was written for good."""
    return " ".join(event["text"] for event in events if event["type"] == "final" and event["text"])
