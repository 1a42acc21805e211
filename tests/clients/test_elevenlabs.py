"""ElevenLabs Scribe realtime: the vendor's Python, Node and browser SDKs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.box import kiosk, run, url
from tests.clients.application import Application, require
from tests.clients.browser import page
from tests.clients.client import KEYS, UNKNOWN, Client, each, key, streams
from tests.clients.material import FIRST, SECOND, TELEPHONE, recorded, understood
from tests.clients.page import proves
from tests.clients.sdks import ELEVENLABS, ELEVENLABS_BROWSER, ELEVENLABS_NODE, FFMPEG

DIALECT = "ElevenLabs"
PYTHON = Client(DIALECT, ELEVENLABS, "elevenlabs_realtime.py", "http")
PYTHON_TLS = Client(DIALECT, ELEVENLABS, "elevenlabs_realtime.py", "https")
NODE = Client(DIALECT, ELEVENLABS_NODE, "elevenlabs_realtime.mjs", "http")
NODE_TLS = Client(DIALECT, ELEVENLABS_NODE, "elevenlabs_realtime.mjs", "https")
BOTH = PYTHON, NODE
COMMITS_AFTER = 33
"""Pieces of 100 ms: in the pause between the sentences."""


@each(BOTH, "manual commits in real time: partials, committed transcripts")
def test_manual(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            audio = recorded(tmp_path, FIRST, SECOND, pause_s=1.5)
            heard = await client.run(daemon, audio, pace=1, commit_after=[COMMITS_AFTER])
        assert heard.lines[0]["event"] == "started"
        assert len(heard.all("partial")) >= 4
        first, second = heard.texts("committed")
        understood([first], FIRST)
        understood([second], SECOND)
        assert not heard.all("timed")
        assert not heard.all("error")

    run(work)


@each(BOTH, "a whole file as fast as it can be sent, one commit")
def test_whole_file(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND))
        assert len(heard.all("committed")) == 1
        understood(heard.texts("committed"), FIRST, SECOND)

    run(work)


@each(BOTH, "commits by silence (vad)")
def test_vad(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            audio = recorded(tmp_path, FIRST, SECOND, pause_s=1.5, after_s=1.5)
            options: dict[str, Any] = {"commit_strategy": "vad", "vad_silence_threshold_secs": 0.7, "linger": 2}
            heard = await client.run(daemon, audio, pace=1, **options)
        first, second = heard.texts("committed")
        understood([first], FIRST)
        understood([second], SECOND)
        assert not heard.all("error")

    run(work)


@each(BOTH, "word times, from the start of the session")
def test_timestamps(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            audio = recorded(tmp_path, FIRST, SECOND, pause_s=1.5)
            options: dict[str, Any] = {"include_timestamps": True, "commit_after": [COMMITS_AFTER]}
            heard = await client.run(daemon, audio, linger=1, **options)
        assert heard.texts("committed") == heard.texts("timed")
        ends = [0.0]
        for timed in heard.all("timed"):
            assert "".join(word["text"] for word in timed["words"]) == timed["text"]
            for word in timed["words"]:
                assert ends[-1] <= word["start"] + 0.001
                ends.append(word["end"])
        assert 4.0 < ends[-1] < 8.0

    run(work)


@each(BOTH, "language detection: the language with each commit")
def test_language(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), include_language_detection=True, linger=1)
        (timed,) = heard.all("timed")
        assert timed["language_code"] in ("en", "eng")

    run(work)


@each(BOTH, "every audio format")
@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100, 48_000])
def test_rates(client: Client, rate: int, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            audio = recorded(tmp_path, SECOND, rate=rate)
            heard = await client.run(daemon, audio, audio_format=f"pcm_{rate}", sample_rate=rate)
        understood(heard.texts("committed"), SECOND)

    run(work)


@each(BOTH, "every audio format")
def test_8_khz(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(kiosk()) as daemon:
            audio = recorded(tmp_path, TELEPHONE, rate=8_000)
            heard = await client.run(daemon, audio, audio_format="pcm_8000", sample_rate=8_000)
        understood(heard.texts("committed"), TELEPHONE, errors=0)

    run(work)


@each(BOTH, "every audio format")
def test_mulaw(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(kiosk()) as daemon:
            audio = recorded(tmp_path, TELEPHONE, rate=8_000, encoding="pcm_mulaw")
            heard = await client.run(daemon, audio, audio_format="ulaw_8000", sample_rate=8_000)
        understood(heard.texts("committed"), TELEPHONE, errors=0)

    run(work)


@each(
    BOTH,
    "keyterms, no_verbatim, secondary_languages, filter_background_audio, entity_detection",
    "differs: checked, then without effect",
)
def test_without_effect(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        options: dict[str, Any] = {"keyterms": ["city"], "no_verbatim": True, "secondary_languages": ["de"]}
        options |= {"filter_background_audio": True, "entity_detection": "pii"}
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), **options)
        understood(heard.texts("committed"), FIRST)
        assert not heard.all("error")

    run(work)


@each((PYTHON, NODE, PYTHON_TLS, NODE_TLS), "single-use token, from this server")
def test_token(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=key(daemon), use_token=True)
            understood(heard.texts("committed"), SECOND)
            again = await client.run(daemon, recorded(tmp_path, SECOND), key="x", token=heard.texts("token")[0])
            assert [error["message_type"] for error in again.all("error")] == ["auth_error"]

    run(work)


@each((PYTHON_TLS, NODE_TLS), "TLS with the box's own authority (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS)")
def test_tls(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND))
        understood(heard.texts("committed"), SECOND)

    run(work)


URL = "a URL, which the SDK reads itself with ffmpeg"


@each((PYTHON,), URL)
def test_url(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        audio = recorded(tmp_path, FIRST, after_s=2.0)
        async with client.box() as daemon:
            options: dict[str, Any] = {"url": str(audio.path), "commit_strategy": "vad"}
            heard = await client.run(daemon, environment=_ffmpeg(tmp_path), **options)
        understood(heard.texts("committed"), FIRST)

    run(work)


@each((NODE,), URL, "does not work: the SDK hangs up together with its commit, and gets no answer any more")
def test_url_with_node(client: Client, tmp_path: Path) -> None:
    """Should this fail one day, the page can promise more."""

    async def work() -> None:
        audio = recorded(tmp_path, FIRST, after_s=2.0)
        async with client.box() as daemon:
            heard = await client.run(daemon, url=str(audio.path), environment=_ffmpeg(tmp_path))
        assert [line["event"] for line in heard.lines] == ["started", "close", "closed"]

    run(work)


def _ffmpeg(folder: Path) -> dict[str, str]:
    """Where ffmpeg is found under its usual name."""
    require(FFMPEG)
    (program,) = (FFMPEG.folder / "imageio_ffmpeg" / "binaries").glob("ffmpeg-*")
    (folder / "ffmpeg").symlink_to(program)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@each(BOTH, "wrong key", "refused: auth_error, then the end")
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=1, key=UNKNOWN)
        assert [error["message_type"] for error in heard.all("error")] == ["auth_error"], heard
        assert len(heard.all("close")) == 1
        assert not heard.all("committed")

    run(work)


@each(BOTH, "a key whose seconds are used up, in mid-stream and before", "refused: quota_exceeded, then the end")
def test_quota(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            poor = key(daemon, seconds=2.0)
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=2, key=poor)
            assert heard.all("error")[0]["message_type"] == "quota_exceeded", heard
            assert heard.all("partial")
            heard = await client.run(daemon, recorded(tmp_path, FIRST), key=poor)
        assert heard.all("error")[0]["message_type"] == "quota_exceeded", heard
        assert not heard.all("committed")

    run(work)


@each(BOTH, "a parameter with a bad value", "refused: invalid_request, then the end")
def test_bad_parameter(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            options = {"vad_threshold": 0.95} if client is PYTHON else {"model_id": "scribe_v9"}
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=1, **options)
        assert heard.all("error")[0].get("message_type") == "invalid_request", heard

    run(work)


@each(BOTH, "no audio for too long", "refused: insufficient_audio_activity, then the end")
def test_idle(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(limits={"elevenlabs": {"idle_s": 1}}) as daemon:
            options: dict[str, Any] = {"commit_strategy": "vad", "linger": 4}
            heard = await client.run(daemon, recorded(tmp_path, SECOND), **options)
        assert heard.all("error")[0]["message_type"] == "insufficient_audio_activity", heard
        assert len(heard.all("close")) == 1

    run(work)


@each(BOTH, "the server stops: last words, then a close with 1000")
def test_server_stops(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            client.box() as daemon,
            client.running(daemon, recorded(tmp_path, FIRST, after_s=3.0), pace=1) as application,
        ):
            await application.until("partial", lambda line: len(line["text"].split()) >= 4)
            daemon.stop()
            heard = await application.ended()
        understood(heard.texts("committed"), FIRST, errors=5)
        assert len(heard.all("close")) == 1

    run(work)


@each(BOTH, "the program is killed: its stream is freed")
def test_killed(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            async with client.running(daemon, recorded(tmp_path, FIRST), pace=1) as application:
                await application.until("started")
                assert await streams(daemon) == 1
            async with asyncio.timeout(5):
                while await streams(daemon):
                    await asyncio.sleep(0.05)

    run(work)


@proves(DIALECT, ELEVENLABS_BROWSER, "the microphone of a page, with a token from this server: commits by silence")
def test_browser(tmp_path: Path) -> None:
    require(ELEVENLABS_BROWSER)
    sdk = ELEVENLABS_BROWSER.folder / "node_modules" / "@elevenlabs" / "client" / "dist"

    async def work() -> None:
        async with PYTHON.box(server=KEYS) as daemon:
            own = key(daemon)

            async def token() -> str:
                async with httpx.AsyncClient(base_url=url(daemon), headers={"xi-api-key": own}) as web:
                    answer = await web.post("/v1/single-use-token/realtime_scribe")
                    return str(answer.raise_for_status().json()["token"])

            microphone = recorded(tmp_path, FIRST, SECOND, pause_s=1.5, after_s=3.0)
            async with page(
                "elevenlabs.html", base_url=url(daemon), microphone=microphone, sdk=sdk, token=token
            ) as heard:
                await _both(heard)
        assert len(heard.all("partial")) >= 4
        understood(heard.texts("committed"), FIRST, SECOND, errors=3)
        assert all(timed["words"] for timed in heard.all("timed"))
        assert not heard.all("error")
        assert not heard.all("failed")

    run(work)


async def _both(heard: Application) -> None:
    async with asyncio.timeout(30):
        await heard.until("timed", lambda line: len(heard.all("timed")) == 2)
