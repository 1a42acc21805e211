"""Requests that fit no route: paths that are nearly right, proxies that drop headers, and pages that ask first."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from appliance.daemon import Daemon
from appliance.dialects import DIALECTS
from tests.box import box, run, url

TOKEN = "/v1/single-use-token/realtime_scribe"
PAGE = "https://app.example"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "xi-api-key"}


def browser(daemon: Daemon, origin: str) -> httpx.AsyncClient:
    """A client that asks for a page of this origin."""
    return httpx.AsyncClient(base_url=url(daemon), headers={"origin": origin})


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/stream/", "use /v1/stream without a slash at the end"),
        ("/speech/v1/stream", "use /v1/stream; a proxy that serves"),
        ("/speech/v1/stream/", "use /v1/stream without a slash at the end; a proxy that serves"),
        ("/api/v1/microphones/desk", "use /v1/microphones/{name}; a proxy that serves"),
        ("/v4/ws", "use one of the paths listed here"),
        ("/" + "x/" * 2000, "use one of the paths listed here"),
    ],
)
def test_websocket_wrong_path_404_lists_paths(path: str, advice: str) -> None:
    async def work() -> None:
        async with box() as daemon:
            with pytest.raises(InvalidStatus) as refused:
                await connect(url(daemon, "ws") + path)
            response = refused.value.response
            assert response.status_code == 404
            said: dict[str, Any] = json.loads(response.body or b"")
            assert advice in said["error"]
            assert len(said["error"]) < 500
            assert {path for dialect in DIALECTS for path in dialect.paths} <= set(said["websocket"])
            assert {"/readyz", "/v1/transcribe"} - set(said["websocket"]) <= set(said["http"])
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                assert (await web.post(path.rstrip("/") + "-")).status_code == 404

    run(work)


def test_get_websocket_path_426() -> None:
    async def work() -> None:
        async with box() as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            for path in (*(path for dialect in DIALECTS for path in dialect.paths), "/v1/microphones/desk"):
                answer = await web.get(path)
                assert answer.status_code == 426, path
                assert answer.headers["upgrade"] == "websocket"
                assert "docs/proxies.md" in answer.json()["error"]
            assert (await web.get("/readyz")).status_code == 200
            assert (await web.post("/v1/stream")).status_code == 405
            assert (await web.post("/v1/transcribe")).status_code not in (405, 426)

    run(work)


@pytest.mark.parametrize("auth", ["keys", "open"])
@pytest.mark.parametrize(
    ("allowed", "origin", "granted"),
    [([], PAGE, None), ([PAGE], PAGE, PAGE), ([PAGE], "https://evil.example", None), (["*"], PAGE, "*")],
)
def test_endpoint_preflight_and_answer_cors(allowed: list[str], origin: str, granted: str | None, auth: str) -> None:
    async def work() -> None:
        async with box(server={"allowed_origins": allowed, "auth": auth}) as daemon, browser(daemon, origin) as web:
            asked = await web.options(TOKEN, headers=ASKS)
            assert asked.headers.get("access-control-allow-origin") == granted
            assert (asked.status_code == 200) is (granted is not None)
            if granted:
                assert "POST" in asked.headers["access-control-allow-methods"]
                assert asked.headers["access-control-allow-headers"] == "xi-api-key"
            told = await web.post(f"{url(daemon)}/{TOKEN}", headers={"xi-api-key": "any"})
            assert told.headers.get("access-control-allow-origin") == granted
            assert "access-control-allow-credentials" not in told.headers

    run(work)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/microphones", "/v1/stream"])
def test_other_paths_never_have_cors(path: str) -> None:
    async def work() -> None:
        async with box(server={"allowed_origins": ["*"]}) as daemon, browser(daemon, PAGE) as web:
            for answer in (await web.get(path), await web.options(path, headers=ASKS)):
                assert "access-control-allow-origin" not in answer.headers

    run(work)
