"""Every dialect over a real socket, against noise: the box goes on, nothing is left behind, no traceback is logged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from typing import Any

import pytest
from hypothesis.errors import NonInteractiveExampleWarning
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.daemon import Daemon
from appliance.dialects import DIALECTS
from appliance.dialects.base import Dialect
from tests.box import box, fake, run, url
from tests.fuzz.material import KNOWN
from tests.fuzz.test_codecs import PROTOCOL, documented, simplest
from tests.speech import silence, tone

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "12"))
"""Conversations with each dialect."""
SPEECH = tone(0.7) + silence(0.9)
pytestmark = pytest.mark.filterwarnings("ignore", category=NonInteractiveExampleWarning)


def noise(dice: random.Random, texts: list[str]) -> str | bytes:
    """One message: speech, one of the conversations', whole or damaged, or anything."""
    text = dice.choice(texts or ["{}"])
    cut = dice.randrange(len(text) + 1)
    return dice.choice(
        [
            SPEECH,
            dice.randbytes(dice.choice([0, 1, 3, 320, 3_200])),
            text,
            text,
            text[:cut],
            text[:cut] + dice.choice(["\x00", "é", '"', "{", "9" * 400]) + text[cut:],
            "[" * dice.choice([1, 10_000]),
            "".join(chr(dice.randrange(32, 0x2FFF)) for _ in range(dice.randrange(30))),
        ]
    )


async def converse(daemon: Daemon, dialect: type[Dialect], dice: random.Random) -> int | None:
    """One conversation; the code it was closed with by the server, if it was."""
    known = KNOWN[dialect.name]
    path, headers, _ = simplest(dialect)
    query = "sample_rate=16000&model=any.any&model_id=scribe_v2_realtime" if dialect.name != "native" else ""
    if dice.random() < 0.4 and known.names:
        query += f"&{dice.choice(known.names)}={dice.choice(known.values)}".replace(" ", "%20").replace("\x00", "%00")
    target = url(daemon, "ws") + path.replace("{session}", "none") + "?" + query
    try:
        async with connect(target, additional_headers=headers, compression=None) as socket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(dice.randrange(1, 30)):
                    await socket.send(noise(dice, known.texts))
                if dice.random() < 0.5:
                    async with asyncio.timeout(dice.random()):
                        while True:
                            await socket.recv()
            return socket.close_code
    except InvalidStatus as refused:
        assert 400 <= refused.response.status_code < 600
    except TimeoutError:
        pass
    return None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_noise(dialect: type[Dialect], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    settings: dict[str, Any] = {"recognizer": {"detector": "energy"}, "scheduling": {"streams": 200}}

    async def work() -> None:
        async with box(fake(), **settings) as daemon:
            for batch in range(0, ROUNDS, 4):
                dice = [random.Random(f"{dialect.name} {batch + one}") for one in range(4)]
                codes = await asyncio.gather(*(converse(daemon, dialect, one) for one in dice))
                assert {code for code in codes if code} <= documented(dialect) | PROTOCOL
            while any(one.attached for one in daemon._service.sessions._live.values()):
                await asyncio.sleep(0.01)
            assert daemon.pool.crashes == daemon.pool.hangs == 0

    run(work, 60 + ROUNDS)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
