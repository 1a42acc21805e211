"""Cartesia's auto finalize (turns) with the Python SDK 4. OPTIONS are the connection's parameters."""

import threading

from cartesia import Cartesia
from lines import API_KEY, BASE_URL, OPTIONS, paced, say

settings = {"model": "ink-2", "encoding": "pcm_s16le", "sample_rate": 16_000, **OPTIONS}
configure_after = settings.pop("configure_after", None)

with Cartesia(base_url=BASE_URL, api_key=API_KEY).stt.auto_finalize.websocket(**settings) as connection:

    def speak() -> None:
        for number, piece in enumerate(paced()):
            if number == configure_after:
                connection.send({"type": "config", "turn": {"end_timeout_ms": 700}})
            connection.send_raw(piece)
        connection.send({"type": "close"})

    threading.Thread(target=speak, daemon=True).start()
    for event in connection:
        if event.type == "error":
            say("error", text=event.message, status=event.status_code)
        else:
            say(event.type, text=getattr(event, "transcript", None) or "")
say("closed")
