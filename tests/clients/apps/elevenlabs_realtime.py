"""ElevenLabs Scribe realtime with the Python SDK. OPTIONS are those of ``realtime.connect``, but for a few."""

import asyncio
import base64

from elevenlabs import AudioFormat, CommitStrategy, RealtimeEvents
from elevenlabs.client import ElevenLabs
from lines import API_KEY, BASE_URL, OPTIONS, microphone, say
from websockets.exceptions import ConnectionClosed

TOLD = {
    RealtimeEvents.SESSION_STARTED: "started",
    RealtimeEvents.PARTIAL_TRANSCRIPT: "partial",
    RealtimeEvents.COMMITTED_TRANSCRIPT: "committed",
    RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS: "timed",
    RealtimeEvents.ERROR: "error",
    RealtimeEvents.CLOSE: "close",
}
commit_after = OPTIONS.pop("commit_after", [])
linger = OPTIONS.pop("linger", 0)
use_token = OPTIONS.pop("use_token", False)


async def main() -> None:
    client = ElevenLabs(base_url=BASE_URL, api_key=API_KEY)
    options = {"model_id": "scribe_v2_realtime", **OPTIONS}
    options["commit_strategy"] = CommitStrategy(options.get("commit_strategy", "manual"))
    if "url" not in options:
        options["audio_format"] = AudioFormat(options.get("audio_format", "pcm_16000"))
        options.setdefault("sample_rate", 16_000)
    if use_token:
        options["token"] = client.tokens.single_use.create("realtime_scribe").token
        say("token", text=options["token"])
    connection = await client.speech_to_text.realtime.connect(options)
    commits = 0
    committed = asyncio.Event()
    over = asyncio.Event()

    def on(event: str):
        def tell(data: dict) -> None:
            nonlocal commits
            say(event, **data)
            if event == "close":
                over.set()
            if event == "committed":
                commits += 1
                committed.set()

        return tell

    for event, name in TOLD.items():
        connection.on(event, on(name))

    async def speak() -> None:
        number = 0
        async for piece in microphone():
            if over.is_set():
                return
            try:
                if number in commit_after:
                    await connection.commit()
                number += 1
                await connection.send({"audio_base_64": base64.b64encode(piece).decode()})
            except ConnectionClosed:
                return

    if "url" in options:
        await asyncio.wait_for(over.wait() if options["commit_strategy"] == "manual" else committed.wait(), 30)
    else:
        await speak()
    if options["commit_strategy"] == CommitStrategy.MANUAL and not over.is_set():
        await connection.commit()
        while commits <= len(commit_after) and not over.is_set():
            await asyncio.sleep(0.02)
    for _ in range(linger * 50):
        if not over.is_set():
            await asyncio.sleep(0.02)
    await connection.close()
    say("closed")


asyncio.run(main())
