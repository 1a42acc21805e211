"""Cartesia's manual finalize with the Python SDK 4: speak, finalize, read until flush_done, and again; then close.

OPTIONS go to the connection, but for those taken out here.
"""

import asyncio
import threading
from typing import Any

from cartesia import AsyncCartesia, Cartesia
from lines import API_KEY, BASE_URL, OPTIONS, microphone, paced, say

finalize_after = OPTIONS.pop("finalize_after", None)
use_token = OPTIONS.pop("use_token", False)
asynchronous = OPTIONS.pop("asynchronous", False)
settings = {"model": "ink-whisper", "encoding": "pcm_s16le", "sample_rate": 16_000, **OPTIONS}


def tell(event: Any) -> bool:
    """Say what came; whether it is the last."""
    if event.type == "transcript":
        words = [(word.word, word.start, word.end) for word in event.words or []]
        kind = "final" if event.is_final else "partial"
        say(kind, text=event.text, duration=event.duration, language=event.language, words=words)
    elif event.type == "error":
        say("error", text=event.message, status_code=event.status_code)
    else:
        say(event.type)
    return event.type in ("done", "error")


def with_threads(client: Cartesia) -> None:
    with client.stt.manual_finalize.websocket(**settings) as connection:
        say("open")

        def speak() -> None:
            for number, piece in enumerate(paced()):
                if number == finalize_after:
                    connection.send("finalize")
                connection.send_raw(piece)
            connection.send("finalize")
            connection.send("close")

        threading.Thread(target=speak, daemon=True).start()
        for event in connection:
            tell(event)


async def with_a_loop(client: AsyncCartesia) -> None:
    async with client.stt.manual_finalize.websocket(**settings) as connection:
        say("open")

        async def speak() -> None:
            async for piece in microphone():
                await connection.send_raw(piece)
            await connection.send("close")

        speaking = asyncio.create_task(speak())
        async for event in connection:
            tell(event)
        await speaking


try:
    customer = Cartesia(base_url=BASE_URL, api_key=API_KEY)
    if use_token:
        token = customer.access_token.create(grants={"stt": True}, expires_in=60).token
        say("token", text=token)
        customer = Cartesia(base_url=BASE_URL, token=token)
    if asynchronous:
        asyncio.run(with_a_loop(AsyncCartesia(base_url=BASE_URL, api_key=API_KEY)))
    else:
        with_threads(customer)
except Exception as error:
    closed = getattr(error, "rcvd", None)  # of the websockets library
    say("refused", text=str(error), kind=type(error).__name__, code=closed.code if closed else None)
say("closed")
