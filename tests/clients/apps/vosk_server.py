"""A vosk-server client, as those in its repository are: the rate, a chunk, its answer, and so on; then ``eof``."""

import asyncio
import json

import websockets
from lines import BASE_URL, OPTIONS, microphone, say


def tell(answer: str) -> None:
    result = json.loads(answer)
    kind = "final" if "text" in result else "partial"
    say(kind, text=result["text" if kind == "final" else kind], words=result.get("result"))


async def main() -> None:
    async with websockets.connect(f"{BASE_URL}/vosk") as socket:
        await socket.send(json.dumps({"config": {"sample_rate": 16_000, **OPTIONS}}))
        async for piece in microphone():
            await socket.send(piece)
            tell(await socket.recv())
        await socket.send('{"eof" : 1}')
        tell(await socket.recv())
    say("closed")


asyncio.run(main())
