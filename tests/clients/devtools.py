"""A page in a real headless browser, read and steered by the browser's DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.clients.browser import CHROMIUM, profile

LARGEST = 1 << 25
"""A picture of a page, in base64."""


class Tab:
    """The one page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A method of the protocol; its result. Events are left out."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async for message in self._socket:
            answer = json.loads(message)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
        raise AssertionError("the browser has ended")

    async def evaluate(self, expression: str) -> Any:
        """What a line of JavaScript gives in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The same, once it is true. The test's own limit ends the wait."""
        while not (value := await self.evaluate(expression)):
            await asyncio.sleep(0.02)
        return value

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """The screen's size, and what its owner prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@contextlib.asynccontextmanager
async def tab(address: str) -> AsyncIterator[Tab]:
    """Open the address. Skips without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the Debian package chromium is missing; make clients installs it")
    async with profile() as folder:
        process = await asyncio.create_subprocess_exec(
            program, *CHROMIUM, "--remote-debugging-port=0", f"--user-data-dir={folder}", address,
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            async with connect(await _page(Path(folder)), max_size=LARGEST) as socket:
                yield Tab(socket)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _page(folder: Path) -> str:
    """Where the first page is spoken to: the browser writes its port into its folder."""
    port = folder / "DevToolsActivePort"
    async with httpx.AsyncClient(trust_env=False) as web:
        while True:
            with contextlib.suppress(OSError, ValueError, IndexError, httpx.TransportError):
                found = (await web.get(f"http://127.0.0.1:{int(port.read_text().split()[0])}/json/list")).json()
                pages = [target["webSocketDebuggerUrl"] for target in found if target["type"] == "page"]
                if pages:
                    return str(pages[0])
            await asyncio.sleep(0.05)
