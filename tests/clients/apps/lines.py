"""What every application here shares: its settings, the audio in pieces, and saying what it received as JSON lines."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
OPTIONS = json.loads(os.environ["OPTIONS"])
CHUNK_S = float(os.environ.get("CHUNK_S", "0"))


def say(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}, default=str), flush=True)


def audio() -> bytes:
    """The samples of the file."""
    with open(os.environ["AUDIO"], "rb") as file:
        data = file.read()
    return data[data.index(b"data") + 8 :] if data.startswith(b"RIFF") else data


def pieces() -> list[bytes]:
    data, size = audio(), int(os.environ["CHUNK"])
    return [data[start : start + size] for start in range(0, len(data), size)]


def paced() -> Iterator[bytes]:
    """The pieces, as the microphone would give them."""
    began = time.monotonic()
    for number, piece in enumerate(pieces(), 1):
        time.sleep(max(0.0, began + number * CHUNK_S - time.monotonic()))
        yield piece


async def microphone() -> AsyncIterator[bytes]:
    """The same for programs with an event loop."""
    began = time.monotonic()
    for number, piece in enumerate(pieces(), 1):
        await asyncio.sleep(max(0.0, began + number * CHUNK_S - time.monotonic()))
        yield piece
