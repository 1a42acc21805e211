"""How a client of each dialect opens, sends and knows a final: as little as measuring needs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

SILENCE_MS = 700
"""Asked of every dialect that lets a client choose; others say what they have."""


class Costume(Struct, frozen=True, kw_only=True):
    """``final`` tells whether a message brings a text that will not change."""

    name: str
    target: str
    final: Callable[[Any], bool]
    headers: dict[str, str] = {}
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    """What ends the session; without any the client waits a while and closes."""
    wrap: Callable[[bytes], bytes | str] = bytes
    silence_ms: int = SILENCE_MS
    greets: bool = True
    """The server speaks first."""


def _type(key: str, value: str) -> Callable[[Any], bool]:
    return lambda message: isinstance(message, dict) and message.get(key) == value


def _chunk(audio: bytes) -> str:
    chunk = {
        "message_type": "input_audio_chunk",
        "audio_base_64": base64.b64encode(audio).decode(),
        "commit": False,
        "sample_rate": 16_000,
    }
    return msgspec.json.encode(chunk).decode()


KEY = {"authorization": "bench"}
COSTUMES = (
    Costume(
        name="native",
        target=f"/v1/stream?key=bench&silence_to_end_ms={SILENCE_MS}",
        final=_type("type", "final"),
        last=('{"type": "finish"}',),
    ),
    Costume(
        name="assemblyai_v2",
        target="/v2/realtime/ws?sample_rate=16000",
        headers=KEY,
        final=_type("message_type", "FinalTranscript"),
        last=('{"terminate_session": true}',),
    ),
    Costume(
        name="assemblyai_v3",
        target=f"/v3/ws?sample_rate=16000&min_turn_silence={SILENCE_MS}&max_turn_silence={SILENCE_MS}",
        headers=KEY,
        final=lambda message: message.get("end_of_turn") is True,
        last=('{"type": "Terminate"}',),
    ),
    Costume(
        name="cartesia",
        target=f"/stt/websocket?api_key=bench&model=ink-whisper&max_silence_duration_secs={SILENCE_MS / 1000}",
        final=lambda message: message.get("type") == "transcript" and message["is_final"],
        last=("close",),
        greets=False,
    ),
    Costume(
        name="cartesia_turns",
        target="/stt/turns/websocket?api_key=bench&model=ink-2&encoding=pcm_s16le&sample_rate=16000",
        final=_type("type", "turn.end"),
        last=('{"type": "close"}',),
    ),
    Costume(
        name="elevenlabs",
        target="/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&commit_strategy=vad"
        f"&vad_silence_threshold_secs={SILENCE_MS / 1000}",
        headers={"xi-api-key": "bench"},
        final=_type("message_type", "committed_transcript"),
        wrap=_chunk,
    ),
    Costume(
        name="gnani",
        target="/stt/v3/stream",
        headers={"x-api-key-id": "bench", "lang_code": "en-IN"},
        final=_type("type", "transcript"),
        silence_ms=500,
    ),
    Costume(
        name="speechall",
        target="/v1/transcribe?api_key=bench&model=local.any&output_format=json",
        final=lambda message: "text" in message,
        greets=False,
    ),
    Costume(
        name="vosk_server",
        target="/vosk",
        first=('{"config": {"sample_rate": 16000}}',),
        final=lambda message: bool(message.get("text")),
        silence_ms=500,
        last=('{"eof": 1}',),
        greets=False,
    ),
)
"""The native protocol first: all others are compared with it."""


def parsed(message: str | bytes) -> Any:
    """A message as JSON; what is no JSON as an empty object."""
    try:
        return json.loads(message)
    except ValueError:
        return {}
