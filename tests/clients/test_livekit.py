"""LiveKit Agents: its four speech-to-text plugins, each with a base URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.box import run
from tests.clients.client import KEYS, UNKNOWN, Client, key
from tests.clients.material import FIRST, SECOND, recorded, understood
from tests.clients.page import proves
from tests.clients.sdks import LIVEKIT


def plugin(dialect: str, name: str, scheme: str = "http") -> Client:
    return Client(
        dialect, LIVEKIT, "livekit_stt.py", scheme, (name,), called=f"livekit-plugins-{name} {LIVEKIT.version} (PyPI)"
    )


ASSEMBLYAI = plugin("AssemblyAI v3", "assemblyai", "ws")
CARTESIA = plugin("Cartesia", "cartesia")
ELEVENLABS = plugin("ElevenLabs", "elevenlabs")
GNANI = plugin("Gnani Vachana", "gnani")

REALTIME = {"model": "scribe_v2_realtime", "base_path": "/v1"}

CASES = (
    (ASSEMBLYAI, "turns", {"format_turns": True}, True, True),
    (CARTESIA, "ink-2 (turns)", {}, True, True),
    (CARTESIA, "ink-whisper", {"model": "ink-whisper"}, True, True),
    (ELEVENLABS, "commits by the server", {**REALTIME, "server_vad": {"vad_silence_threshold_secs": 0.7}}, True, True),
    (ELEVENLABS, "commits by flush", {**REALTIME, "language_code": "en", "include_timestamps": True}, True, False),
    (GNANI, "segments", {}, False, True),
)


@pytest.mark.parametrize(
    ("client", "options", "interims", "ends"),
    [
        pytest.param(client, options, interims, ends, marks=proves(client.dialect, client.title, feature), id=feature)
        for client, feature, options, interims, ends in CASES
    ],
)
def test_streams(client: Client, options: dict[str, Any], interims: bool, ends: bool, tmp_path: Path) -> None:
    """In real time. ElevenLabs' plugin waits for a commit of nothing, so that with flush there is no end of speech."""

    async def work() -> None:
        async with client.box() as daemon:
            recording = recorded(tmp_path, FIRST, SECOND, pause_s=2.0, after_s=1.5)
            heard = await client.run(daemon, recording, pace=1, linger_s=3, **options)
        assert not heard.all("refused"), heard
        understood(heard.texts("final_transcript"), FIRST, SECOND)
        assert bool(heard.all("interim_transcript")) == interims
        kinds = [line["event"] for line in heard.lines]
        assert kinds.index("start_of_speech") < kinds.index("final_transcript")
        assert ("end_of_speech" in kinds) == ends

    run(work)


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(
            client,
            marks=proves(client.dialect, client.title, "wrong key", "refused: the plugin raises an error"),
            id=client.title,
        )
        for client in (ASSEMBLYAI, CARTESIA, ELEVENLABS, GNANI)
    ],
)
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            key(daemon)
            options: dict[str, Any] = REALTIME if client is ELEVENLABS else {}
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=2, key=UNKNOWN, **options)
        assert len(heard.all("refused")) == 1, heard
        assert not heard.all("final_transcript")

    run(work)
