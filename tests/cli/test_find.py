"""``appliance find``: what it prints of the boxes that were found; finding them is tests/server/test_discovery.py."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from appliance.cli.find import find
from appliance.server import discovery
from appliance.server.discovery import Box

KITCHEN = Box(
    name="kitchen",
    host="kitchen.local",
    addresses=("10.0.0.2", "fd00::7"),
    port=8080,
    tls_port=8443,
    version="1.2.3",
    auth="keys",
    languages=("en", "de"),
    id="0a1b2c",
)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[Box]:
    """The boxes on it."""
    boxes: list[Box] = []

    async def browse(seconds: float) -> list[Box]:
        return boxes

    monkeypatch.setattr(discovery, "browse", browse)
    return boxes


def test_a_box_is_shown_with_all_one_needs_to_use_it(network):
    network.append(KITCHEN)
    done = CliRunner().invoke(find)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "kitchen",
        "  url        http://kitchen.local:8080",
        "  encrypted  https://kitchen.local:8443",
        "  addresses  10.0.0.2, fd00::7",
        "  languages  en, de",
        "  keys       needed",
        "  version    1.2.3",
    ]


def test_json_has_the_urls_too(network):
    network.append(KITCHEN)
    (found,) = json.loads(CliRunner().invoke(find, ["--json"]).output)
    assert found["addresses"] == ["10.0.0.2", "fd00::7"]
    assert (found["url"], found["tls_url"]) == ("http://kitchen.local:8080", "https://kitchen.local:8443")


def test_nobody_there_is_a_failure_that_says_so(network):
    done = CliRunner().invoke(find)
    assert done.exit_code == 1
    assert "no appliance answers" in done.output
    done = CliRunner().invoke(find, ["--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (1, [])


def test_no_network_is_said(monkeypatch):
    async def browse(seconds: float) -> list[Box]:
        raise OSError("this machine has no address but its own loopback")

    monkeypatch.setattr(discovery, "browse", browse)
    done = CliRunner().invoke(find)
    assert done.exit_code == 1
    assert "no address but its own loopback" in done.output
