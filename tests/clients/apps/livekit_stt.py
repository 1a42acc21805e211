"""LiveKit Agents: a plugin's speech-to-text, fed with a room's frames of 10 ms. The argument is the plugin."""

import asyncio
import os
import sys
import time

import aiohttp
from lines import API_KEY, BASE_URL, CHUNK_S, OPTIONS, audio, say
from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.plugins import assemblyai, cartesia, elevenlabs, gnani

RATE = 16_000
FRAME = RATE // 100
PLUGINS = {"assemblyai": assemblyai, "cartesia": cartesia, "elevenlabs": elevenlabs, "gnani": gnani}
flush_after_s = OPTIONS.pop("flush_after_s", None)
linger_s = OPTIONS.pop("linger_s", 0)


async def main() -> None:
    plugin = sys.argv[1]
    async with aiohttp.ClientSession() as session:
        base_path = OPTIONS.pop("base_path", "")
        settings = {"api_key": API_KEY, "base_url": f"{BASE_URL}{base_path}", **OPTIONS}
        if plugin != "gnani":
            settings["http_session"] = session
        recognizer = PLUGINS[plugin].STT(**settings)
        stream = recognizer.stream(conn_options=APIConnectOptions(max_retry=0))

        async def speak() -> None:
            data = audio()
            began = time.monotonic()
            for number, start in enumerate(range(0, len(data) - 2 * FRAME + 1, 2 * FRAME), 1):
                await asyncio.sleep(max(0.0, began + number * CHUNK_S / 10 - time.monotonic()))
                stream.push_frame(rtc.AudioFrame(data[start : start + 2 * FRAME], RATE, 1, FRAME))
            stream.flush()
            await asyncio.sleep(linger_s)
            stream.end_input()
            if plugin == "elevenlabs":  # it does not end by itself
                await stream.aclose()

        speaking = asyncio.create_task(speak())
        try:
            async for event in stream:
                text = event.alternatives[0].text if event.alternatives else ""
                words = [str(word) for word in (event.alternatives[0].words or [])] if event.alternatives else []
                say(event.type.value, text=text, words=words)
        except Exception as error:
            say("refused", text=str(error), kind=type(error).__name__, status=getattr(error, "status_code", None))
            speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await stream.aclose()
        await recognizer.aclose()
    say("closed")
    sys.stdout.flush()
    os._exit(0)  # the framework keeps threads of its own


asyncio.run(main())
