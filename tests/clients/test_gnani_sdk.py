"""The vendor's own SDK (PyPI gnani-vachana 0.8.2) against a box with a real engine and real speech."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import soxr
from gnani.stt import GnaniSTTStreamClient
from gnani.stt.client import StreamTranscriptEvent
from gnani.stt.exceptions import StreamConnectionError

from appliance.cli.speech import say
from appliance.daemon import Daemon
from appliance.text.errors import plain_words
from tests.box import box, kiosk, run, url, whisper
from tests.clients.client import KEYS, UNKNOWN
from tests.clients.page import proves
from tests.clients.sdks import GNANI
from tests.speech import spoken

SENTENCE = "we are going to the city on monday"
DIALECT = "Gnani Vachana"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The SDK installs a handler of its own."""
    yield
    logging.getLogger("gnani").handlers.clear()


@asynccontextmanager
async def sdk(daemon: Daemon, **options: Any) -> AsyncIterator[GnaniSTTStreamClient]:
    client = GnaniSTTStreamClient(api_key="any", base_url=url(daemon), **{"language_code": "en-IN", **options})
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


def at_rate(audio: bytes, rate: int) -> bytes:
    samples = np.frombuffer(audio, "<i2").astype(np.float32)
    return soxr.resample(samples, 16_000, rate).astype("<i2").tobytes()


@proves(DIALECT, GNANI, "stream_audio, the SDK's own pacing, at every rate")
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_stream_audio_at_every_rate(rate: int) -> None:
    """The SDK's own helper paces the audio and closes 1.0 s after its last frame: the text must be there by then."""
    audio = at_rate(spoken(SENTENCE, after_s=0.0), rate)

    async def work() -> None:
        async with box(whisper()) as daemon, sdk(daemon, sample_rate=rate) as client:
            assert client.connected_config is not None
            assert client.connected_config.sample_rate == rate
            texts = [event.text for event in await client.stream_audio(io.BytesIO(audio))]
            heard = " ".join(texts).split()
            assert len(set(SENTENCE.split()) & set(heard)) >= (6 if rate != 8_000 else 4), texts

    run(work)


@proves(DIALECT, GNANI, "segments in real time, with index, id, duration and latency")
def test_segments_and_their_fields() -> None:
    """Two sentences in real time: two transcripts, in order, each within a second of the end of its sound."""
    sentences = ("what time is it now", "thank you very much for your help")

    async def work() -> None:
        async with box(whisper()) as daemon, sdk(daemon) as client:
            transcripts: list[tuple[float, StreamTranscriptEvent]] = []

            async def receive() -> None:
                async for event in client.events():
                    if isinstance(event, StreamTranscriptEvent):
                        transcripts.append((time.monotonic(), event))

            receiving = asyncio.create_task(receive())
            ended = []
            for sentence in sentences:
                for audio, quiet in ((say(sentence), False), (bytes(32_000), True)):
                    for start in range(0, len(audio), 1024):
                        await client.send_audio(audio[start : start + 1024])
                        await asyncio.sleep(0.032)
                    if not quiet:
                        ended.append(time.monotonic())
            while len(transcripts) < 2:
                await asyncio.sleep(0.05)
            assert [plain_words(event.text) for _, event in transcripts] == [each.split() for each in sentences]
            assert [event.segment_index for _, event in transcripts] == ["0", "1"]
            for (came, event), end, sentence in zip(transcripts, ended, sentences, strict=True):
                assert came - end < 1.0
                assert abs(event.audio_duration_ms / 1000 - len(say(sentence)) / 32_000) < 0.6
                assert event.latency >= 0
            assert len({event.segment_id for _, event in transcripts}) == 2
            await client.close()
            await receiving

    run(work)


@proves(DIALECT, GNANI, "request id")
def test_request_id_comes_back() -> None:
    async def work() -> None:
        async with box(kiosk()) as daemon:
            client = GnaniSTTStreamClient(api_key="any", base_url=url(daemon), language_code="en-IN")
            connected = await client.connect(request_id="req_0123456789ab")
            assert connected.message == "STT service ready"
            await client.close()

    run(work)


@proves(DIALECT, GNANI, "format=transcribe: numbers in digits, for English")
def test_numbers_in_digits() -> None:
    """x-format: transcribe."""

    async def work() -> None:
        async with box(kiosk()) as daemon, sdk(daemon, format="transcribe") as client:
            texts = [event.text for event in await client.stream_audio(io.BytesIO(spoken("two five six")))]
            assert any(character.isdigit() for character in " ".join(texts)), texts

    run(work)


@proves(
    DIALECT, GNANI, "a language that is not installed", "refused: StreamConnectionError, which names what to install"
)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"language_code": "hi-IN"}, "appliance models install vosk-model-small-hi-0.22"),
        ({"language_code": "ml-IN"}, "ml"),
    ],
)
def test_what_the_user_of_the_sdk_reads(options: dict[str, Any], words: str) -> None:
    async def work() -> None:
        async with box(kiosk()) as daemon:
            with pytest.raises(StreamConnectionError, match=words):
                async with sdk(daemon, **options):
                    pass

    run(work)


@proves(DIALECT, GNANI, "wrong key", "refused: StreamConnectionError, HTTP 403")
def test_wrong_key() -> None:
    async def work() -> None:
        async with box(kiosk(), server=KEYS) as daemon:
            client = GnaniSTTStreamClient(api_key=UNKNOWN, base_url=url(daemon), language_code="en-IN")
            with pytest.raises(StreamConnectionError, match="403"):
                await client.connect()

    run(work)
