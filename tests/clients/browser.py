"""A page in a real headless browser, with a file as its microphone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.clients.application import APPS, Application
from tests.clients.material import Audio

CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)  # fmt: skip
LINES = """
const { BASE_URL, API_KEY, OPTIONS, MICROPHONE } = %s;
let told = Promise.resolve();
function say(event, values = {}) {
  const body = JSON.stringify({ ...values, event });
  told = told.then(() => fetch("said", { method: "POST", body }));
}
addEventListener("error", (error) => say("failed", { text: error.message }));
addEventListener("unhandledrejection", ({ reason }) => say("failed", { text: String(reason) }));
"""
"""What ``lines.py`` is to the programs."""


@contextlib.asynccontextmanager
async def page(
    name: str,
    *,
    base_url: str,
    microphone: Audio,
    key: str = "any",
    options: dict[str, Any] | None = None,
    sdk: Path | None = None,
    token: Callable[[], Awaitable[str]] | None = None,
) -> AsyncIterator[Application]:
    """Open ``apps/<name>``. ``sdk``: a folder of scripts for it; ``token``: what the page's own backend gives it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the Debian package chromium is missing; make clients installs it")
    settings = {"BASE_URL": base_url, "API_KEY": key, "OPTIONS": options or {}, "MICROPHONE": {}}
    application: Application

    async def lines(request: Request) -> Response:
        return Response(LINES % json.dumps(settings), media_type="text/javascript")

    async def said(request: Request) -> Response:
        application.lines.append(json.loads(await request.body()))
        application.news.set()
        return Response(status_code=204)

    async def give(request: Request) -> Response:
        assert token is not None
        return JSONResponse({"token": await token()})

    routes: list[Any] = [
        Route("/", lambda request: FileResponse(APPS / name)),
        Route("/lines.js", lines),
        Route("/said", said, methods=["POST"]),
        Route("/token", give),
    ]
    if sdk is not None:
        routes.append(Mount("/sdk", StaticFiles(directory=sdk)))
    async with _served(Starlette(routes=routes)) as address, profile() as folder:
        process = await asyncio.create_subprocess_exec(
            program, *CHROMIUM, f"--use-file-for-fake-audio-capture={microphone.path}%noloop",
            f"--user-data-dir={folder}", address, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
        )  # fmt: skip
        application = Application(process)
        try:
            yield application
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[str]:
    """The page's own web server, on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(app, log_config=None, log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(settings)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = server.force_exit = True
        await serving
        listening.close()


@contextlib.asynccontextmanager
async def profile() -> AsyncIterator[str]:
    """A folder for a browser that nobody has used before."""
    folder = tempfile.mkdtemp(prefix="browser-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
