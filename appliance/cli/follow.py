"""A microphone of a running appliance, followed in the terminal: the other half of ``appliance listen``."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from appliance.cli.access import refused
from appliance.cli.common import fail
from appliance.cli.paper import Paper

ANSWER_S = 10.0
LARGEST = 1 << 20
"""Bytes of an answer."""


async def follow(url: str, name: str, headers: Mapping[str, str]) -> None:
    """Write the words of the microphone ``name`` until its feed ends. End the program when it cannot be followed."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    paper = Paper()
    address = f"ws{url.removeprefix('http')}/v1/microphones/{quote(name, safe='')}"
    try:
        async with connect(address, additional_headers=headers) as socket:
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "microphone":
                    paper.note(f"{event['name']}: {event['state']} ({event['reason']})")
                paper.write(event["type"], event.get("text", ""))
    except InvalidStatus as error:
        fail(refused(error.response.status_code, bytes(error.response.body or b"")))
    except (OSError, ValueError, WebSocketException) as error:
        fail(f"{url}: {error}")


def only(url: str, headers: Mapping[str, str]) -> str:
    """Return the name of the only microphone there. End the program when there is none, or more than one."""
    found = names(url, headers)
    if not found:
        fail(f"{url} has no microphone; configure one there: docs/microphones.md")
    if len(found) > 1:
        fail(f"{url} has {len(found)} microphones; choose one with --name: {', '.join(found)}", 2)
    return found[0]


def names(url: str, headers: Mapping[str, str]) -> list[str]:
    """Return the names of the microphones there. End the program when the appliance does not give them."""
    asked = urllib.request.Request(f"{url}/v1/microphones", headers=dict(headers))
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=ANSWER_S) as answer:
            told = msgspec.json.decode(answer.read(LARGEST), type=dict[str, list[dict[str, object]]])
            return [str(one["name"]) for one in told["microphones"]]
    except urllib.error.HTTPError as error:
        fail(refused(error.code, error.read(LARGEST)))
    except (OSError, ValueError, KeyError, RecursionError) as error:
        fail(f"{url} does not answer as an appliance: {getattr(error, 'reason', error)}")
