"""From a real ALSA device to text: the virtual microphone, the whole box, and what people use of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from appliance.daemon import Daemon
from appliance.text.errors import plain_words
from tests.box import box, run, url, whisper
from tests.speech import spoken
from tests.virtual_mic import VirtualMicrophone, virtual_microphone

SENTENCE = "what time is it now"


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("microphone")) as made:
        yield made


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 16_000, 0, "NONE", ""))
        audio.writeframes(spoken(SENTENCE, before_s=0.5, after_s=1.5))
    return path


@contextlib.asynccontextmanager
async def listening(rate: int) -> AsyncIterator[tuple[Daemon, AsyncIterator[dict[str, Any]]]]:
    desk = {"name": "desk", "device": "vmic", "rate": rate}
    async with (
        box(whisper(), microphones=[desk]) as daemon,
        connect(url(daemon, "ws") + "/v1/microphones/desk") as feed,
    ):

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for message in feed:
                yield json.loads(message)

        yield daemon, events()


async def until(events: AsyncIterator[dict[str, Any]], kind: str, **fields: Any) -> dict[str, Any]:
    async for event in events:
        if event["type"] == kind and all(event[name] == value for name, value in fields.items()):
            return event
    raise AssertionError("the feed ended")


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_room_is_heard(microphone: VirtualMicrophone, recording: Path, rate: int, monkeypatch: Any) -> None:
    """Played into the room, captured by ALSA, recognised in a worker, read from the feed by two subscribers."""
    monkeypatch.setenv("ALSA_CONFIG_PATH", microphone.env["ALSA_CONFIG_PATH"])

    async def work() -> None:
        async with listening(rate) as (daemon, events):
            assert (await until(events, "microphone", state="ready"))["rate"] == rate
            async with connect(url(daemon, "ws") + "/v1/microphones/desk") as second:
                await asyncio.to_thread(microphone.play, recording)
                text = (await until(events, "final"))["text"]
                assert len(set(plain_words(text)) & set(SENTENCE.split())) >= 4, text
                async for message in second:
                    if json.loads(message)["type"] == "final":
                        assert json.loads(message)["text"] == text
                        break

    run(work)


def test_pulled_out_and_plugged_in_again(microphone: VirtualMicrophone, recording: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", microphone.env["ALSA_CONFIG_PATH"])

    async def work() -> None:
        async with listening(16_000) as (_, events):
            await until(events, "microphone", state="ready")
            await asyncio.to_thread(microphone.unplug)
            lost = await until(events, "microphone")
            assert lost["state"] in ("lost", "absent")
            await asyncio.to_thread(microphone.replug)
            await until(events, "microphone", state="ready")
            await asyncio.to_thread(microphone.play, recording)
            assert "time" in (await until(events, "final"))["text"]

    run(work)


def test_listen_writes_what_it_hears(microphone: VirtualMicrophone, recording: Path) -> None:
    """``appliance listen`` as a person runs it."""
    environment = {**os.environ, **microphone.env}
    listen = subprocess.Popen(
        [sys.executable, "-m", "appliance", "listen", "--device", "vmic", "--engine", "whisper"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert listen.stdout is not None
    assert listen.stderr is not None
    try:
        for line in listen.stderr:
            if "ready" in line:
                break
        microphone.play(recording)
        assert "time" in listen.stdout.readline()
    finally:
        listen.terminate()
        listen.communicate()


def test_devices_lists_it(microphone: VirtualMicrophone) -> None:
    environment = {**os.environ, **microphone.env}
    command = [sys.executable, "-m", "appliance", "devices", "--json"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "vmic" in output
