"""What ready means: each component's state, and which of them decide."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from appliance.server import readiness
from appliance.server.feed import MicrophoneInfo
from tests.box import box, run, url

MISSING = {"name": "desk", "device": "no such card"}


def microphone(state: str, name: str = "desk") -> MicrophoneInfo:
    return MicrophoneInfo(name=name, device="usb", state=state, reason="why", rate=0, language="", overruns=0)


@pytest.mark.parametrize(
    ("pool", "ready", "state", "reason"),
    [
        ({"ready": True, "models": {"a": 1}}, True, "ready", ""),
        ({"ready": True, "models": {"a": 1}, "broken": {"b": "b is gone"}}, True, "ready", "b is gone"),
        ({}, False, "loading", "loading"),
        ({"held": "measuring what a stream costs"}, False, "loading", "loading"),
        ({"held": "measuring it", "models": {"a": 1}}, False, "measuring", "measuring it"),
        ({"held": "measuring it", "broken": {"a": "a is gone", "b": "b too"}}, False, "broken", "a is gone; b too"),
    ],
)
def test_models_state(pool: dict[str, Any], ready: bool, state: str, reason: str) -> None:
    given: Any = SimpleNamespace(**{"ready": False, "models": {}, "broken": {}, "held": "", **pool})
    found = readiness.models(given)
    assert (found.ready, found.required, found.state, found.reason) == (ready, True, state, reason)


@pytest.mark.parametrize(
    ("states", "ready", "state"),
    [
        ((), True, "none"),
        (("ready",), True, "listening"),
        (("ready", "muted"), True, "listening"),
        *(((state,), False, "missing") for state in ("absent", "busy", "lost")),
        (("ready", "absent"), False, "missing"),
    ],
)
def test_microphones_state(states: tuple[str, ...], ready: bool, state: str) -> None:
    found = readiness.microphones([microphone(each) for each in states], detailed=False)
    assert (found.ready, found.required, found.state, found.reason) == (ready, False, state, "")


def test_microphones_detailed_names_each() -> None:
    found = readiness.microphones([microphone("ready"), microphone("busy", "door")], detailed=True)
    assert found.reason == "door: busy (why)"
    assert found.each == (readiness.Part("desk", "ready", "why"), readiness.Part("door", "busy", "why"))


@pytest.mark.parametrize(
    ("expires", "ready", "state"),
    [(None, True, "off"), (time.time() + 3600, True, "serving"), (time.time() - 1, False, "expired")],
)
def test_tls_state(expires: float | None, ready: bool, state: str) -> None:
    found = readiness.tls(expires)
    assert (found.ready, found.required, found.state) == (ready, False, state)


def test_overall_only_required_components_decide() -> None:
    good = readiness.Component(ready=True, required=True, state="ready")
    bad = readiness.Component(ready=False, required=True, state="broken", reason="gone")
    optional = readiness.Component(ready=False, required=False, state="missing")
    assert readiness.overall({"a": good, "b": optional}, draining=False) == (True, "")
    assert readiness.overall({"a": bad, "b": optional}, draining=False) == (False, "gone")
    assert readiness.overall({"a": good}, draining=True) == (False, "shutting down")


def test_readyz_without_its_microphone_is_ready_and_says_so() -> None:
    async def work() -> None:
        async with box(microphones=[MISSING]) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            answer = await web.get("/readyz")
            found = answer.json()["components"]
            assert (answer.status_code, answer.json()["ready"]) == (200, True)
            assert (found["microphones"]["ready"], found["microphones"]["state"]) == (False, "missing")
            assert found["microphones"]["each"][0]["name"] == "desk"
            assert found["models"] == {"ready": True, "required": True, "state": "ready"}
            assert found["tls"]["state"] == "off"

    run(work)


def test_readyz_network_client_is_not_told_of_each_microphone() -> None:
    async def work() -> None:
        async with box(microphones=[MISSING], server={"auth": "keys"}) as daemon:
            asked = httpx.ASGITransport(daemon._service.app(), client=("192.168.7.9", 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=asked, base_url="http://localhost") as web:
                found = (await web.get("/readyz")).json()["components"]["microphones"]
                assert found == {"ready": False, "required": False, "state": "missing"}

    run(work)
