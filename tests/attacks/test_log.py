"""What clients send does not reach the log, and costs it a line each at most."""

from __future__ import annotations

import logging

import pytest
from websockets.exceptions import InvalidStatus

from tests.box import box, fake, kiosk, run
from tests.server.test_sessions import FAST, NATIVE, client, ended, until

EVIL = "%1B%5B31m%0AZq7w"
TIMES = 5


def test_client_text_does_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def work() -> None:
        async with box(kiosk(), **FAST) as daemon:
            for query in (f"language={EVIL}", f"phrase={EVIL}", f"encoding={EVIL}", f"mode={EVIL}", f"{EVIL}={EVIL}"):
                try:
                    async with client(daemon, f"/v1/stream?key=any&{query}") as socket:
                        await ended(socket)
                except InvalidStatus:
                    pass
            async with client(daemon, NATIVE) as socket:
                await until(socket, "begin")
                await socket.send('{"type": "configure", "phrases": ["\\u001b[31m Zq7w"]}')
                await socket.send('{"type": "Zq7w"}')
                await ended(socket)

    run(work, 30)
    assert "Zq7w" not in caplog.text
    assert "\x1b" not in caplog.text


def test_invalid_utf8_costs_the_log_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            for _ in range(TIMES):
                async with client(daemon, NATIVE) as socket:
                    await until(socket, "begin")
                    await socket.send(b"\xff\xfe", text=True)
                    assert (await ended(socket))[0] == 1007

    run(work, 30)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info] == []
    ours = [record for record in caplog.records if record.name.startswith("appliance.server")]
    assert len(ours) == 2 * TIMES  # opened and closed
