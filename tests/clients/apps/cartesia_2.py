"""Cartesia with the Python SDK 2. OPTIONS: ``way`` is one of those in its README."""

import asyncio

from cartesia import AsyncCartesia, Cartesia
from lines import API_KEY, BASE_URL, OPTIONS, microphone, paced, pieces, say

way = OPTIONS.pop("way", "send and receive")
settings = {"model": "ink-whisper", "language": "en", "encoding": "pcm_s16le", "sample_rate": 16_000, **OPTIONS}


def tell(result: dict) -> None:
    if result["type"] == "transcript":
        kind = "final" if result["is_final"] else "partial"
        say(kind, text=result["text"], duration=result.get("duration"), words=result.get("words"))
    else:
        say(result["type"])


async def with_a_loop() -> None:
    socket = await AsyncCartesia(base_url=BASE_URL, api_key=API_KEY).stt.websocket(**settings)

    async def speak() -> None:
        async for piece in microphone():
            await socket.send(piece)
        await socket.send("finalize")
        await socket.send("done")

    speaking = asyncio.create_task(speak())
    async for result in socket.receive():
        tell(result)
    await speaking
    await socket.close()


def with_threads() -> None:
    socket = Cartesia(base_url=BASE_URL, api_key=API_KEY).stt.websocket(**({} if way == "transcribe" else settings))
    try:
        if way == "transcribe":
            results = socket.transcribe(iter(pieces()), **settings)
        else:
            for piece in paced():
                socket.send(piece)
            socket.send("finalize")
            socket.send("done")
            results = socket.receive()
        for result in results:
            tell(result)
    finally:
        socket.close()


try:
    if way == "asynchronous":
        asyncio.run(with_a_loop())
    else:
        with_threads()
except RuntimeError as error:
    say("refused", text=str(error))
say("closed")
