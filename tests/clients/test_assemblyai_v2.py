"""AssemblyAI v2: the vendor's Python and Node SDKs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.box import kiosk, run
from tests.clients.application import Application
from tests.clients.client import KEYS, UNKNOWN, Client, each, key, streams
from tests.clients.material import DIGITS, FIRST, NUMBER, SECOND, TELEPHONE, recorded, understood
from tests.clients.sdks import ASSEMBLYAI_NODE, ASSEMBLYAI_V2

DIALECT = "AssemblyAI v2"
PYTHON = Client(DIALECT, ASSEMBLYAI_V2, "assemblyai_v2.py", "ws")
PYTHON_TLS = Client(DIALECT, ASSEMBLYAI_V2, "assemblyai_v2.py", "https")
NODE = Client(DIALECT, ASSEMBLYAI_NODE, "assemblyai_v2.mjs", "https")
BOTH = PYTHON, NODE


@each(BOTH, "speech in real time: partials, finals, word times")
def test_partials_and_finals(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND), pace=1)
        assert len(heard.all("open")) == 1
        assert len(heard.all("partial")) >= 4
        assert len(heard.all("final")) == 2
        for text, sentence in zip(heard.texts("final"), (FIRST, SECOND), strict=True):
            understood([text], sentence)
        assert heard.lines.index(heard.all("partial")[0]) < heard.lines.index(heard.all("final")[0])
        ends = [0]
        for final in heard.all("final"):
            for word in final["words"]:
                start, end = (word["start"], word["end"]) if isinstance(word, dict) else (word[1], word[2])
                assert ends[-1] <= start <= end
                ends.append(end)
        assert 4_000 < ends[-1] < 7_000
        assert not heard.all("error")

    run(work)


@each(BOTH, "formatted finals", "differs: numbers in digits, but no capitals and no punctuation")
def test_formatted(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, NUMBER))
        understood(heard.texts("final"), DIGITS)

    run(work)


@each(BOTH, "a whole file as fast as it can be sent")
def test_whole_file(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, after_s=0.1))
        understood(heard.texts("final"), FIRST, SECOND)
        assert not heard.all("error")

    run(work)


@each(BOTH, "force_end_utterance")
def test_force(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), force_after=12)
        assert len(heard.all("final")) == 2
        understood(heard.texts("final"), FIRST, errors=3)

    run(work)


@each(BOTH, "silence that ends an utterance: at the start and in mid-stream")
@pytest.mark.parametrize(
    ("options", "finals"),
    [
        ({"end_utterance_silence_threshold": 2_000}, 1),
        ({"end_utterance_silence_threshold": 300}, 2),
        ({"end_utterance_silence_threshold": 2_000, "threshold_after": 2}, 2),
    ],
    ids=["long", "short", "changed"],
)
def test_silence_threshold(client: Client, options: dict[str, int], finals: int, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=0.6), pace=3, **options)
        assert len(heard.all("final")) == finals
        understood(heard.texts("final"), FIRST, SECOND, errors=2)

    run(work)


@each(BOTH, "session information: seconds of audio")
def test_information(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        audio = recorded(tmp_path, SECOND)
        async with client.box() as daemon:
            options = {"extra_session_information": True} if client is PYTHON else {}
            heard = await client.run(daemon, audio, **options)
        (information,) = heard.all("information")
        assert information["seconds"] == pytest.approx(audio.path.stat().st_size / 32_000, abs=0.2)

    run(work)


@each(BOTH, "disable_partial_transcripts")
def test_no_partials(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=2, disable_partial_transcripts=True)
        assert not heard.all("partial")
        understood(heard.texts("final"), FIRST)

    run(work)


@each(BOTH, "word_boost", "differs: checked, then without effect")
def test_word_boost(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), word_boost=["city", "monday"])
        understood(heard.texts("final"), FIRST)

    run(work)


@each(BOTH, "8 kHz mu-law")
def test_mulaw(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        audio = recorded(tmp_path, TELEPHONE, rate=8_000, encoding="pcm_mulaw")
        async with client.box(kiosk()) as daemon:
            heard = await client.run(daemon, audio, sample_rate=8_000, encoding="pcm_mulaw")
        understood(heard.texts("final"), TELEPHONE, errors=0)

    run(work)


@each((PYTHON, NODE, PYTHON_TLS), "temporary token, from this server, for one session")
def test_token(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=key(daemon), use_token=True)
            assert len(heard.texts("token")) == 1
            understood(heard.texts("final"), SECOND)
            again = await client.run(daemon, recorded(tmp_path, SECOND), key="x", token=heard.texts("token")[0])
            assert not again.all("final")

    run(work)


@each((PYTHON_TLS,), "TLS with the box's own authority (SSL_CERT_FILE)")
def test_tls(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND))
        understood(heard.texts("final"), SECOND)

    run(work)


def told(client: Client, heard: Application, code: int, text: str) -> None:
    """The customer's program has been told; that in Python sees no code."""
    troubles = heard.all("error") + heard.all("close") + heard.all("refused")
    assert any(text in trouble.get("text", "") for trouble in troubles), heard
    assert client is PYTHON or any(trouble.get("code") == code for trouble in troubles), heard


@each(BOTH, "wrong key", "refused: Not Authorized (4001)")
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=1, key=UNKNOWN)
        told(client, heard, 4001, "Not Authorized")
        assert not heard.all("final")

    run(work)


@each(BOTH, "a key whose seconds are used up, in mid-stream and before", "refused: Insufficient Funds (4002)")
def test_quota(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            poor = key(daemon, seconds=2.0)
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=2, key=poor)
            told(client, heard, 4002, "Insufficient Funds")
            assert heard.all("partial")
            heard = await client.run(daemon, recorded(tmp_path, FIRST), key=poor)
        told(client, heard, 4002, "Insufficient Funds")
        assert not heard.all("partial")

    run(work)


@each(BOTH, "no audio for too long", "refused: Session idle for too long (4031)")
def test_idle(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(limits={"assemblyai_v2": {"idle_s": 1}}) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), idle_s=3)
        told(client, heard, 4031, "Session idle for too long")
        understood(heard.texts("final"), FIRST)

    run(work)


@each(BOTH, "the server stops: last words, then a proper end")
def test_server_stops(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            client.box() as daemon,
            client.running(daemon, recorded(tmp_path, FIRST, after_s=3.0), pace=1) as application,
        ):
            await application.until("partial", lambda line: len(line["text"].split()) >= 4)
            daemon.stop()
            heard = await application.ended()
        understood(heard.texts("final"), FIRST, errors=5)
        assert not heard.all("error")

    run(work)


@each(BOTH, "the program is killed: its stream is freed")
def test_killed(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(limits={"assemblyai_v2": {"resume_s": 0}}) as daemon:
            async with client.running(daemon, recorded(tmp_path, FIRST), pace=1) as application:
                await application.until("open")
                assert await streams(daemon) == 1
            async with asyncio.timeout(5):
                while await streams(daemon):
                    await asyncio.sleep(0.05)

    run(work)
