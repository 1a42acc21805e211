"""A daemon of one's own: started for a demonstration or a measurement, stopped after it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator

from msgspec import Struct

from appliance import interpreter

READY_S = 120.0


class NotReady(Exception):
    """The daemon did not come up."""


class Child(Struct, frozen=True):
    """A ready daemon: where it is, what it said of its model, and how many seconds it took."""

    url: str
    model: str
    pid: int
    start_s: float


@contextlib.asynccontextmanager
async def own_daemon(*options: str, quiet: bool = False) -> AsyncIterator[Child]:
    """``appliance serve`` on a free port with these options; what it keeps is gone with it."""
    with tempfile.TemporaryDirectory() as state:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *interpreter.command("appliance", "serve", "--port", "0", "--no-tls", "--no-calibrate"),
            "--state-dir", state, *options, stdout=PIPE, stderr=DEVNULL if quiet else None,
        )  # fmt: skip
        try:
            yield await _ready(process, began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()


async def _ready(process: asyncio.subprocess.Process, began: float) -> Child:
    assert process.stdout is not None
    model = ""
    try:
        async with asyncio.timeout(READY_S):
            async for line in process.stdout:
                text = line.decode()
                if text.startswith("model:"):
                    model = text.strip()
                found = re.search(r"ready on (http://\S+)", text)
                if found:
                    return Child(found[1], model, process.pid, time.monotonic() - began)
    except TimeoutError:
        raise NotReady(f"the daemon was not ready within {READY_S:.0f} s") from None
    raise NotReady("the daemon ended before it was ready")
