"""The pages that may use a device without keys."""

from __future__ import annotations

import pytest

from appliance.server.origins import KnownOrigins, same_origin


async def _app(*_: object) -> None:
    """Nothing is asked of it."""


@pytest.mark.parametrize(
    ("origin", "host", "known"),
    [
        ("http://box.local:8080", "box.local:8080", True),
        ("https://box.local:8443", "box.local:8080", False),
        ("http://localhost:3000", "box.local:8080", True),
        ("http://[::1]:3000", "box.local:8080", True),
        ("https://app.example", "box.local", True),
        ("https://app.example:444", "box.local", False),
        ("https://evil.example", "box.local", False),
        ("https://evil.example", "", False),
        ("null", "", False),
        ("null", "null", False),
        ("file://", "", False),
        ("http://[", "[", False),
    ],
)
def test_origin_of_a_page_known_or_not(origin: str, host: str, known: bool) -> None:
    assert KnownOrigins(_app, ("https://app.example",))._knows(origin, host) is known


def test_origin_star_every_page_known() -> None:
    assert KnownOrigins(_app, ("*",))._knows("https://evil.example", "box.local")


def test_same_origin_no_host_false() -> None:
    assert not same_origin("null", "")
