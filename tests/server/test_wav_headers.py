"""A WAV header on every message: in each dialect the words are those of the bare samples, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from appliance.bench.costumes import COSTUMES, Costume, parsed
from appliance.core.options import AudioFormat
from tests.box import box, fake, run, url
from tests.server.test_bad_input import FAST
from tests.sound import wav_header
from tests.speech import silence, tone

AUDIO = tone(1.3) + silence(1.5)
PIECE = 3_200
PIECES = [AUDIO[at : at + PIECE] for at in range(0, len(AUDIO), PIECE)]
OTHER = wav_header(AudioFormat(rate=44_100, channels=2))
STATED = "the WAV header states 44100 Hz, 2 channels, the session 16000 Hz, 1 channel"


async def talk(base: str, costume: Costume, messages: list[bytes]) -> tuple[list[Any], ConnectionClosed | None]:
    """Send the messages; return what the server says up to the first final, or to its close."""
    told: list[Any] = []
    async with connect(base + costume.target, additional_headers=costume.headers, compression=None) as socket:
        try:
            if costume.greets:
                told.append(parsed(await socket.recv()))
            for message in costume.first:
                await socket.send(message)
            for message in messages:
                await socket.send(costume.wrap(message))
            while not told or not costume.final(told[-1]):
                told.append(parsed(await socket.recv()))
        except ConnectionClosed as closed:
            return told, closed
    return told, None


@pytest.mark.parametrize("costume", COSTUMES, ids=lambda costume: costume.name)
def test_dialect_wav_header_on_every_message_same_words(costume: Costume) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            header = wav_header(AudioFormat())
            finals = []
            for messages in (PIECES, [header + piece for piece in PIECES]):
                told, closed = await talk(url(daemon, "ws"), costume, messages)
                assert closed is None, (told, closed)
                finals.append(told[-1].get("text") or told[-1].get("transcript"))
            assert finals[0]
            assert finals[1] == finals[0]

    run(work)


@pytest.mark.parametrize("at", [0, 3], ids=["first", "later"])
@pytest.mark.parametrize("costume", COSTUMES, ids=lambda costume: costume.name)
def test_dialect_contradicting_wav_header_is_an_error(costume: Costume, at: int) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            messages = [*PIECES[:at], OTHER + PIECES[at]]
            async with asyncio.timeout(20):
                told, closed = await talk(url(daemon, "ws"), costume, messages)
            assert closed is not None
            assert closed.rcvd is not None
            said = f"{told} {closed.rcvd.reason}"
            assert STATED in said, said
            assert not any(costume.final(message) for message in told)

    run(work)
