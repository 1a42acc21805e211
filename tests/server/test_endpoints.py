"""Tokens and uploads over plain HTTP, against a real daemon."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from appliance.accounts.keys import Keys
from appliance.daemon import Daemon
from tests.box import box, fake, run, url
from tests.speech import silence, tone

KEYED: dict[str, Any] = {"recognizer": {"detector": "energy"}, "server": {"auth": "keys"}}
ELEVENLABS = "/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&token="


def new_key(daemon: Daemon, **limits: Any) -> str:
    return Keys(daemon.config.state_dir / "accounts").create("test", now=1.7e9, **limits)[1]


async def first_words(daemon: Daemon, path: str, **headers: str) -> dict[str, Any]:
    async with connect(url(daemon, "ws") + path, additional_headers=headers, compression=None) as socket:
        words: dict[str, Any] = json.loads(await socket.recv())
        return words


def wav(audio: bytes) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, np.frombuffer(audio, "<i2"), 16_000, format="WAV")
    return target.getvalue()


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/v2/realtime/token", {"authorization": "{key}"}, {"expires_in": 60}),
        ("GET", "/v3/token?expires_in_seconds=60", {"authorization": "{key}"}, None),
        ("POST", "/access-token", {"authorization": "Bearer {key}"}, {"grants": {"stt": True}}),
        ("POST", "/v1/single-use-token/realtime_scribe", {"xi-api-key": "{key}"}, None),
    ],
)
def test_a_token_is_for_whom_has_a_key(method: str, path: str, headers: dict[str, str], body: Any) -> None:
    async def work() -> None:
        async with box(fake(), **KEYED) as daemon, httpx.AsyncClient(base_url=url(daemon)) as http:
            for key, status in (("guess", 401), (new_key(daemon), 200)):
                given = {name: value.format(key=key) for name, value in headers.items()}
                answer = await http.request(method, path, headers=given, json=body)
                assert answer.status_code == status, answer.text
            assert len(answer.json()["token"]) >= 32

    run(work)


def test_a_token_opens_one_session_of_its_own_service() -> None:
    async def work() -> None:
        async with box(fake(), **KEYED) as daemon, httpx.AsyncClient(base_url=url(daemon)) as http:
            key = {"xi-api-key": new_key(daemon)}
            asked = await http.post("/v1/single-use-token/realtime_scribe", headers=key)
            token = asked.json()["token"]
            with pytest.raises(InvalidStatus, match="401"):
                await first_words(daemon, "/stt/websocket?access_token=" + token)
            assert (await first_words(daemon, ELEVENLABS + token))["message_type"] == "session_started"
            assert (await first_words(daemon, ELEVENLABS + token))["message_type"] == "auth_error"

    run(work)


def test_a_token_can_limit_its_session() -> None:
    async def work() -> None:
        async with box(fake(), **KEYED) as daemon, httpx.AsyncClient(base_url=url(daemon)) as http:
            asked = await http.get(
                "/v3/token?expires_in_seconds=60&max_session_duration_seconds=60",
                headers={"authorization": new_key(daemon)},
            )
            target = f"{url(daemon, 'ws')}/v3/ws?sample_rate=16000&token={asked.json()['token']}"
            async with connect(target, compression=None) as socket:
                begun = json.loads(await socket.recv())
                (session,) = daemon._service.sessions._live.values()
                assert session.limits.longest_s == 60
                assert 0 <= begun["expires_at"] - time.time() <= 61

    run(work)


def test_an_upload_is_heard_and_counted() -> None:
    """A plan without streaming still has files; a used-up one has nothing."""

    async def work() -> None:
        async with box(fake(), **KEYED) as daemon, httpx.AsyncClient(base_url=url(daemon)) as http:
            bearer = {"authorization": f"Bearer {new_key(daemon, streaming=False, seconds=3.0)}"}
            path = "/v1/transcribe?model=any.any&output_format=text"
            audio = wav(tone(0.7) + silence(1.0))
            answers = [await http.post(path, headers=bearer, content=audio) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 402, 402]
            assert answers[0].text.startswith("one two")
            assert (await http.post(path, content=audio)).status_code == 401
            with pytest.raises(InvalidStatus, match="402"):
                await first_words(daemon, path, **bearer)

    run(work)


def test_a_client_that_leaves_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is not heard to the end."""
    monkeypatch.setattr("appliance.server.endpoints.GONE_S", 0.05)

    async def work() -> None:
        async with box(fake(hang_on=7_777), recognizer={"detector": "energy"}) as daemon:
            async with httpx.AsyncClient(base_url=url(daemon), timeout=httpx.Timeout(5, read=0.5)) as http:
                with contextlib.suppress(httpx.ReadTimeout):
                    await http.post(
                        "/v1/transcribe?model=any.any&api_key=any", content=wav(tone(1.0, marker=7_777) + silence(1.0))
                    )
            while daemon.pool.sessions:
                await asyncio.sleep(0.02)

    run(work)


def test_a_body_that_is_no_upload_is_short() -> None:
    async def work() -> None:
        async with box(fake()) as daemon, httpx.AsyncClient(base_url=url(daemon)) as http:
            answer = await http.post("/access-token", headers={"x-api-key": "any"}, content=b" " * 100_000)
            assert 400 <= answer.status_code < 500

    run(work)


def test_a_base_url_may_end_in_a_slash() -> None:
    async def work() -> None:
        async with box(fake()) as daemon:
            path = "//v1/speech-to-text/realtime?model_id=scribe_v2_realtime"
            assert (await first_words(daemon, path, **{"xi-api-key": "any"}))["message_type"] == "session_started"

    run(work)
