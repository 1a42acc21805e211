"""Speechall: a page as its users write it, a program that streams, and the vendor's REST SDK."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.box import run, url
from tests.clients.application import Application
from tests.clients.browser import page
from tests.clients.client import KEYS, UNKNOWN, Client, each, key
from tests.clients.material import FIRST, SECOND, Audio, recorded, samples, understood
from tests.clients.page import proves
from tests.clients.sdks import SPEECHALL, WEBSOCKETS

DIALECT = "Speechall"
PAGE = "a page with a WebSocket, in Chromium"
PROGRAM = Client(DIALECT, WEBSOCKETS, "speechall_stream.py", "ws", called=f"a program with {WEBSOCKETS.title}")
REST = Client(DIALECT, SPEECHALL, "speechall_rest.py", "http")
FILES = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
"""What libsndfile calls them."""


def stored(folder: Path, kind: str) -> Audio:
    container, codec = FILES[kind]
    target = io.BytesIO()
    audio = np.frombuffer(samples(FIRST, SECOND), "<i2")
    soundfile.write(target, audio, 16_000, codec, format=container)
    (folder / f"speech.{kind}").write_bytes(target.getvalue())
    return Audio(folder / f"speech.{kind}", 3_200)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, marks=proves(DIALECT, PAGE, f"the microphone, {form}"))
        for form in ("json", "text", "verbose_json")
    ],
)
def test_browser(form: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with REST.box() as daemon:
            microphone = recorded(tmp_path, FIRST, SECOND, pause_s=1.5, after_s=3.0)
            options = {"output_format": form}
            async with page("speechall.html", base_url=url(daemon), microphone=microphone, options=options) as heard:
                await _sentences(heard)
        understood(heard.texts("transcript"), FIRST, SECOND, errors=3)
        assert not heard.all("failed")

    run(work)


async def _sentences(heard: Application) -> None:
    async with asyncio.timeout(30):
        await heard.until("transcript", lambda line: len(heard.all("transcript")) == 2)


@proves(DIALECT, PAGE, "the server stops: a close with 1000, so that the page does not try again")
def test_browser_when_the_server_stops(tmp_path: Path) -> None:
    async def work() -> None:
        async with REST.box() as daemon:
            microphone = recorded(tmp_path, FIRST, after_s=9.0)
            async with page("speechall.html", base_url=url(daemon), microphone=microphone) as heard:
                async with asyncio.timeout(30):
                    await heard.until("open")
                    await asyncio.sleep(2.5)
                    daemon.stop()
                    closed = await heard.until("close")
                assert closed["code"] == 1000
                assert heard.all("transcript")

    run(work)


@each((PROGRAM,), "speech in real time: each utterance once")
def test_stream(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=1.5), pace=1, linger_s=2)
        first, second = heard.texts("transcript")
        understood([first], FIRST)
        understood([second], SECOND)

    run(work)


@each((PROGRAM,), "a whole file as fast as it can be sent")
def test_whole_file(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, after_s=0.0), linger_s=4)
        understood(heard.texts("transcript"), FIRST, SECOND)

    run(work)


@each((PROGRAM,), "wrong key", "refused: HTTP 401 with message and code")
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=UNKNOWN, linger_s=0)
        (refused,) = heard.all("refused")
        assert refused["status"] == 401
        assert refused["code"] == "unauthenticated"

    run(work)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=proves(DIALECT, REST.title, f"a file: {kind}")) for kind in FILES]
)
def test_files(kind: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with REST.box() as daemon:
            heard = await REST.run(daemon, stored(tmp_path, kind), output_format="json")
        (transcript,) = heard.all("transcript")
        understood([transcript["text"]], FIRST, SECOND, errors=2)
        assert transcript["words"][0]["start"] < transcript["words"][-1]["start"]
        assert transcript["segments"]

    run(work)


@each((REST,), "output formats json and json_text")
@pytest.mark.parametrize("form", ["json", "json_text"])
def test_json(client: Client, form: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, stored(tmp_path, "wav"), output_format=form)
        (transcript,) = heard.all("transcript")
        understood([transcript["text"]], FIRST, SECOND)
        assert bool(transcript.get("words")) == (form == "json")

    run(work)


@each(
    (REST,),
    "output formats text, srt and vtt",
    "works: as with the vendor, the SDK hands what is no JSON over in an ApiError",
)
@pytest.mark.parametrize(("form", "starts"), [("text", ""), ("srt", "1\n00:00:"), ("vtt", "WEBVTT")])
def test_text(client: Client, form: str, starts: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, stored(tmp_path, "wav"), output_format=form)
        (answer,) = heard.all("answer")
        assert answer["status"] == 200
        assert answer["text"].startswith(starts)
        said = [line for line in answer["text"].splitlines() if "-->" not in line and not line.isdigit()]
        understood([" ".join(said).removeprefix("WEBVTT")], FIRST, SECOND)

    run(work)


@each((REST,), "wrong key", "refused: HTTP 401, UnauthorizedError")
def test_rest_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, stored(tmp_path, "wav"), key=UNKNOWN)
        (answer,) = heard.all("answer")
        assert (answer["status"], answer["kind"]) == (401, "UnauthorizedError")

    run(work)


@each((REST,), "a key whose seconds are used up", "refused: HTTP 402, PaymentRequiredError")
def test_rest_quota(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            poor: dict[str, Any] = {"key": key(daemon, seconds=1.0), "output_format": "json"}
            await client.run(daemon, stored(tmp_path, "wav"), **poor)
            heard = await client.run(daemon, stored(tmp_path, "wav"), **poor)
        (answer,) = heard.all("answer")
        assert (answer["status"], answer["kind"]) == (402, "PaymentRequiredError")

    run(work)


@each((REST,), "a file that is no audio", "refused: HTTP 400, BadRequestError")
def test_no_audio(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "text.wav").write_text("this is no audio " * 100)
        async with client.box() as daemon:
            heard = await client.run(daemon, Audio(tmp_path / "text.wav", 3_200), output_format="json")
        (answer,) = heard.all("answer")
        assert (answer["status"], answer["kind"]) == (400, "BadRequestError")

    run(work)
