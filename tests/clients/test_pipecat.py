"""Pipecat: its services in a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.box import run
from tests.clients.client import Client
from tests.clients.material import FIRST, SECOND, recorded, understood
from tests.clients.page import WORKS, proves
from tests.clients.sdks import PIPECAT, PIPECAT_GNANI, Sdk


def service(dialect: str, name: str, scheme: str = "ws", sdk: Sdk = PIPECAT) -> Client:
    called = f"pipecat-ai {sdk.version}, {name} (PyPI)" if sdk is PIPECAT else sdk.title
    return Client(dialect, sdk, "pipecat_stt.py", scheme, (name,), called=called)


ASSEMBLYAI = service("AssemblyAI v3", "assemblyai")
CARTESIA = service("Cartesia", "cartesia")
CARTESIA_TURNS = service("Cartesia", "cartesia-turns")
ELEVENLABS = service("ElevenLabs", "elevenlabs", "https")
GNANI = service("Gnani Vachana", "gnani", sdk=PIPECAT_GNANI)
VOICE = {"voice_s": [[0.3, 2.9], [4.5, 6.3]]}
"""Where the pipeline's own voice detector hears the two sentences."""

CASES = (
    (ASSEMBLYAI, "turns, ended by the pipeline's voice detector", VOICE, WORKS),
    (ASSEMBLYAI, "turns, ended by the server", {"vad_force_turn_endpoint": False}, WORKS),
    (CARTESIA, "ink-whisper", VOICE, WORKS),
    (CARTESIA_TURNS, "ink-2 (turns)", {}, WORKS),
    (ELEVENLABS, "commits by the pipeline's voice detector, over TLS", VOICE, WORKS),
    (ELEVENLABS, "commits by the server, over TLS", {"commit_strategy": "vad"}, WORKS),
    (GNANI, "segments", {}, "differs: it has no option for the address, so a constant of its module is set"),
)


@pytest.mark.parametrize(
    ("client", "options"),
    [
        pytest.param(client, options, marks=proves(client.dialect, client.title, feature, outcome), id=feature)
        for client, feature, options, outcome in CASES
    ],
)
def test_streams(client: Client, options: dict[str, Any], tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            recording = recorded(tmp_path, FIRST, SECOND, pause_s=2.0, after_s=2.0)
            heard = await client.run(daemon, recording, pace=1, **options)
        assert not heard.all("error"), heard
        understood(dict.fromkeys(heard.texts("final")), FIRST, SECOND)

    run(work)
