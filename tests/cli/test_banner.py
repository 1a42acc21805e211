"""The text of a daemon that is ready: what it says must be so, and its commands must work as they stand."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from appliance.cli.banner import Ready, banner

URL = "http://127.0.0.1:8080"


def rows(**more: Any) -> dict[str, str]:
    """The lines by their names."""
    lines = banner(Ready(url=URL, **more)).splitlines()[1:-1]
    return {line[2:19].strip(): line[20:] for line in lines}


def test_banner_open_device_without_microphones() -> None:
    told = rows()
    assert told["try it"] == f"appliance demo --url {URL}"
    assert told["the key"] == "any"
    assert "microphones" not in told
    assert "to listen" not in told


def test_banner_device_with_keys_names_them_in_every_command() -> None:
    told = rows(keys=True, microphone_keys=True, microphones=["desk"], options=("--state-dir", "/srv/a b"))
    assert told["the key"] == "appliance keys create NAME --state-dir '/srv/a b'"
    assert told["to listen"] == told["the key"] + " --microphones"
    assert told["try it"] == f"appliance demo --url {URL} --key KEY"
    command = shlex.split(told["microphones"].partition("   (")[0])
    assert command == ["curl", "-H", "Authorization: Bearer KEY", f"{URL}/v1/microphones"]
    assert told["microphones"].endswith("(live: ws://127.0.0.1:8080/v1/microphones/desk)")


def test_banner_streams_without_keys_microphones_with() -> None:
    told = rows(microphone_keys=True, microphones=["desk"])
    assert told["the key"] == "any"
    assert "to listen" in told


def test_banner_default_microphone_is_not_promised() -> None:
    assert "live" not in rows(microphones=["default"], implied=True)["microphones"]


@pytest.mark.parametrize("secure", ["", "https://127.0.0.1:8443"])
def test_banner_first_line_names_the_urls(secure: str) -> None:
    assert banner(Ready(url=URL, secure=secure)).splitlines()[0] == " and ".join(
        part for part in (f"ready on {URL}", secure) if part
    )
