"""Speechall's stream without a page: send, print what comes, linger for the last of it, hang up."""

import asyncio
import json
from urllib.parse import urlencode

import websockets
from lines import API_KEY, BASE_URL, OPTIONS, microphone, say

linger_s = OPTIONS.pop("linger_s")
query = {"model": "deepgram.nova-2", "language": "en", "output_format": "json", **OPTIONS}


async def main() -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with websockets.connect(f"{BASE_URL}/v1/transcribe?{urlencode(query)}", additional_headers=headers) as socket:

        async def listen() -> None:
            async for message in socket:
                say("transcript", **json.loads(message))

        listening = asyncio.create_task(listen())
        async for piece in microphone():
            await socket.send(piece)
        await asyncio.wait({listening}, timeout=linger_s)
    await listening
    say("closed")


try:
    asyncio.run(main())
except websockets.InvalidStatus as refused:
    answer = refused.response
    say("refused", status=answer.status_code, **json.loads(answer.body))
