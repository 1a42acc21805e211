"""docs/developers.md: every program on it, as it stands, with the SDK that it names, against a box."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from appliance.daemon import Daemon
from tests.box import box, run, whisper
from tests.clients.application import command, environment
from tests.clients.client import KEYS, UNKNOWN, key
from tests.clients.material import FIRST, SECOND, recorded, understood
from tests.clients.sdks import (
    ASSEMBLYAI,
    ASSEMBLYAI_NODE,
    ASSEMBLYAI_V2,
    CARTESIA,
    CARTESIA_NODE,
    ELEVENLABS,
    ELEVENLABS_NODE,
    GNANI,
    SPEECHALL,
    WEBSOCKETS,
    Sdk,
)

PAGE = Path(__file__).parents[2] / "docs" / "developers.md"
PROGRAMS = dict(re.findall(r"^```(?:python|js) (\S+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
"""The word after the language is the program's name; readers do not see it."""
SDKS: dict[str, Sdk] = {
    "assemblyai_v3.py": ASSEMBLYAI,
    "assemblyai_v3.mjs": ASSEMBLYAI_NODE,
    "assemblyai_v2.py": ASSEMBLYAI_V2,
    "assemblyai_v2.mjs": ASSEMBLYAI_NODE,
    "cartesia_stt.py": CARTESIA,
    "cartesia_stt.mjs": CARTESIA_NODE,
    "elevenlabs_stt.py": ELEVENLABS,
    "elevenlabs_stt.mjs": ELEVENLABS_NODE,
    "speechall_file.py": SPEECHALL,
    "speechall_stream.py": WEBSOCKETS,
    "gnani_stt.py": GNANI,
    "vosk_server.py": WEBSOCKETS,
    "own.py": WEBSOCKETS,
    "own.mjs": ASSEMBLYAI_NODE,  # needs none; this one's folder is as good as any
}
CHATTER = re.compile(r"^(?:INFO|DEBUG) +gnani .*\n", re.M)
"""What an SDK tells although nobody asked."""
TLS = {"enabled": True, "port": 0}


def test_every_program_of_the_page_is_run() -> None:
    assert list(PROGRAMS) == list(SDKS)
    assert len(PROGRAMS) == len(re.findall(r"^```\w", PAGE.read_text(), re.M))


@pytest.mark.parametrize("name", SDKS)
def test_the_words_are_printed(name: str, tmp_path: Path) -> None:
    speech = recorded(tmp_path, FIRST, SECOND, after_s=0.5)

    async def work() -> None:
        async with box(whisper(), server=KEYS, tls=TLS) as daemon:
            status, printed, errors = await reader(name, daemon, key(daemon), speech.path, tmp_path)
        assert (status, errors) == (0, "")
        understood(printed.splitlines(), FIRST, SECOND)

    run(work)


@pytest.mark.parametrize("name", SDKS)
def test_a_wrong_key_is_told(name: str, tmp_path: Path) -> None:
    """A reader's likeliest mistake: the program says so, and does not wait for ever."""
    speech = recorded(tmp_path, "yes", after_s=0.0)

    async def work() -> None:
        async with box(server=KEYS, tls=TLS) as daemon:
            _, printed, errors = await reader(name, daemon, UNKNOWN, speech.path, tmp_path)
        assert printed.strip() == "", errors
        assert re.search("known here|Not Authorized|HTTP 40[13]|the key|^WebSocket error", errors), errors

    run(work)


async def reader(name: str, daemon: Daemon, secret: str, speech: Path, folder: Path) -> tuple[int | None, str, str]:
    """Somebody who copied the program from the page: its exit status, what it printed, and what it complained of."""
    assert daemon.bound is not None
    assert daemon.bound_tls is not None
    sdk, program = SDKS[name], folder / name
    program.write_text(PROGRAMS[name])
    exported = {
        "BOX": f"127.0.0.1:{daemon.bound[1]}",
        "BOX_TLS": f"127.0.0.1:{daemon.bound_tls[1]}",
        "KEY": secret,
        "NODE_EXTRA_CA_CERTS": str(daemon.config.state_dir / "tls" / "ca.pem"),
    }
    process = await asyncio.create_subprocess_exec(
        *command(sdk, program), str(speech), stdout=PIPE, stderr=PIPE, env=environment(sdk) | exported
    )
    try:
        printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, printed.decode(), CHATTER.sub("", errors.decode())
