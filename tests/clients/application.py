"""Run a customer's application against a box: a program of its own with its own SDK, told a base URL and a key.

The applications are in ``apps``. They say what they received as JSON lines, each with the name of an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

from tests.clients.material import Audio
from tests.clients.sdks import NODE, NODE_PROGRAM, Sdk

APPS = Path(__file__).with_name("apps")
Line = dict[str, Any]


class Failed(AssertionError):
    """The application did not do what it should; the message has its last words."""


class Application(Struct):
    """A run of an application. ``lines`` grows while it runs."""

    process: asyncio.subprocess.Process
    lines: list[Line] = field(default_factory=list)
    errors: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def all(self, event: str) -> list[Line]:
        """What it said of one kind of event so far."""
        return [line for line in self.lines if line["event"] == event]

    def texts(self, event: str) -> list[str]:
        return [line["text"] for line in self.all(event)]

    async def until(self, event: str, fits: Callable[[Line], object] = bool) -> Line:
        """The first line of this kind that fits; waits for it. Raises ``Failed`` when the application ends without."""
        while True:
            for line in self.all(event):
                if fits(line):
                    return line
            if self.over:
                raise Failed(f"it ended without {event}\n{self}")
            self.news.clear()
            await self.news.wait()

    async def ended(self) -> Application:
        """Wait for its end, which must be a good one."""
        while not self.over:
            self.news.clear()
            await self.news.wait()
        if self.process.returncode:
            raise Failed(f"it ended with {self.process.returncode}\n{self}")
        return self

    def tell(self, word: str) -> None:
        """A line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    def __str__(self) -> str:
        return "\n".join([*map(str, self.lines[-20:]), self.errors[-4000:]])


@contextlib.asynccontextmanager
async def running(
    sdk: Sdk,
    script: str,
    *arguments: str,
    base_url: str,
    key: str = "any",
    audio: Audio | None = None,
    pace: float = 0.0,
    options: dict[str, Any] | None = None,
    **more: str,
) -> AsyncIterator[Application]:
    """Start ``apps/<script>``.

    ``pace``: 1 sends the audio in real time, 2 twice as fast, 0 as fast as it goes. ``options``: what the customer
    chose, in the SDK's own names.
    """
    told = {"BASE_URL": base_url, "API_KEY": key, "OPTIONS": json.dumps(options or {}), **more}
    if audio is not None:
        told |= {
            "AUDIO": str(audio.path),
            "CHUNK": str(audio.chunk),
            "CHUNK_S": str(0.1 / pace if pace else 0),
        }
    if sdk.registry == "npm":
        command(sdk, APPS / "lines.mjs")
    process = await asyncio.create_subprocess_exec(
        *command(sdk, APPS / script), *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=1 << 22,
        env=environment(sdk) | told,
    )  # fmt: skip
    application = Application(process)
    reading = asyncio.create_task(_read(application))
    try:
        yield application
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await reading
        assert process.stdin is not None
        process.stdin.close()


def require(sdk: Sdk) -> None:
    """Skip without the SDK."""
    if not sdk.installed:
        pytest.skip(f"{sdk.title} is not installed; make clients does it")


def command(sdk: Sdk, program: Path) -> list[str]:
    """What runs the program with this SDK and nothing of ours. Skips without the SDK."""
    require(sdk)
    if sdk.registry == "PyPI":
        return [sys.executable, "-S", "-P", str(program)]  # -S: without our own packages
    require(NODE)
    beside = sdk.folder / program.name  # its node_modules, which is where imports are looked up
    shutil.copy(program, beside)
    return [str(NODE_PROGRAM), str(beside)]


def environment(sdk: Sdk) -> dict[str, str]:
    """Little, so that nothing of this machine's set-up is mistaken for the customer's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": f"{sdk.folder}{os.pathsep}{APPS}", "PYTHONDONTWRITEBYTECODE": ""}


async def _read(application: Application) -> None:
    process = application.process
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    noise: list[str] = []
    async for raw in process.stdout:
        try:
            application.lines.append(json.loads(raw))
            application.news.set()
        except ValueError:
            noise.append(raw.decode(errors="replace"))
    application.errors = "".join(noise) + (await errors).decode(errors="replace")
    await process.wait()
    application.over = True
    application.news.set()
