"""Large uploads where files lie in memory: they are refused before memory is short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from appliance import daemon as daemons
from appliance.server import spool
from tests.box import box, fake, run, url
from tests.server.test_sessions import FAST
from tests.server.test_uploads import ASKED, PATH

MIB = 1 << 20
FREE = spool.KEEP_FREE + 20 * MIB
CLIENTS = 8
EACH = 10 * MIB


def test_uploads_in_memory_leave_what_must_stay_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``tmp_path`` plays the folder in memory: what is written there is taken from what is free."""
    written = 0

    class Counting(spool.SpoolRoom):
        def require(self, size: int) -> None:
            nonlocal written
            super().require(size)
            written += size

    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - tmpfs tmpfs rw")
    monkeypatch.setattr(daemons, "SpoolRoom", lambda folder, _: Counting(folder, lambda: FREE - written, mounts))

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(EACH // MIB):
            yield bytes(MIB)

    async def work() -> None:
        async with box(fake(), **FAST) as daemon, httpx.AsyncClient(base_url=url(daemon), timeout=20) as web:
            asked = [web.post(PATH, params=ASKED, content=endless()) for _ in range(CLIENTS)]
            answers = await asyncio.gather(*asked)
            refused = [answer for answer in answers if "must stay free" in answer.text]
            assert refused
            assert written <= 20 * MIB

    run(work, 30)
