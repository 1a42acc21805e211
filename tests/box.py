"""A whole daemon in the test's own event loop, with its real template and workers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec

from appliance.config import load
from appliance.daemon import Daemon
from appliance.engines.fake import Script
from appliance.engines.registry import ModelSpec
from appliance.packs.record import record_of
from appliance.packs.selection import EMBEDDED, Selection
from appliance.packs.store import embedded

READY_S = 60.0


def fake(language: str = "en", **script: Any) -> ModelSpec:
    """The fake engine with this script."""
    text = msgspec.json.encode(Script(**script)).decode()
    return ModelSpec(name=f"fake-{language}", engine="fake", language=language, script=text)


def kiosk() -> ModelSpec:
    """Real Vosk with the embedded kiosk words."""
    return ModelSpec(name="kiosk-words", engine="vosk", language="en", path=str(embedded()["kiosk-words"]))


def whisper() -> ModelSpec:
    """Real Whisper with the embedded model."""
    folder = embedded()[EMBEDDED]
    record = record_of(EMBEDDED, folder)
    return ModelSpec(
        name=EMBEDDED, engine=record.engine, language=record.language, path=str(folder), context=record.context
    )


def run(work: Callable[[], Coroutine[Any, Any, None]], limit_s: float = 60.0) -> None:
    """A test's coroutine in asyncio's debug mode, with a limit."""

    async def limited() -> None:
        async with asyncio.timeout(limit_s):
            await work()

    asyncio.run(limited(), debug=True)


@contextlib.asynccontextmanager
async def box(*models: ModelSpec, **settings: dict[str, Any]) -> AsyncIterator[Daemon]:
    """A ready daemon on a free port; ``settings``: tables of the configuration. TLS, microphones, measuring are off."""
    with tempfile.TemporaryDirectory() as state:
        tables: dict[str, Any] = {"microphones": [], "tls": {"enabled": False}, **settings}
        tables["server"] = {"port": 0, "state_dir": state, **tables.get("server", {})}
        tables["scheduling"] = {"calibrate": False, **tables.get("scheduling", {})}
        async with running(
            Daemon(load(None, tables), Selection(models or (fake(),), "the test asks for it"))
        ) as daemon:
            yield daemon


@contextlib.asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[Daemon]:
    """The daemon, ready; stopped at the end."""
    ready = asyncio.Event()
    work = asyncio.create_task(daemon.run(lambda _: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({work, waiting}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        assert ready.is_set(), "the daemon did not become ready"
        yield daemon
    finally:
        waiting.cancel()
        if not work.done():
            daemon.stop()
        await work


def url(daemon: Daemon, scheme: str = "http") -> str:
    """Base URL of a box."""
    assert daemon.bound is not None
    return f"{scheme}://127.0.0.1:{daemon.bound[1]}"
