"""``X-Forwarded-For`` from a program that is no configured proxy: it must not count as another address."""

from __future__ import annotations

import time

from tests.attacks.client import answered, upgrade
from tests.attacks.device import Device, device


def guesses(target: Device, count: int) -> float:
    """Seconds that so many wrong keys take, each with another address in the header."""
    began = time.monotonic()
    for number in range(count):
        forwarded = f"X-Forwarded-For: 192.0.2.{number}\r\n"
        assert answered(target, upgrade("/v1/stream?key=wrong", headers=forwarded)) == 401
    return time.monotonic() - began


def test_forwarded_address_unknown_proxy_slowed() -> None:
    """The fifth guess from an address waits 0.5 s, the sixth 1 s."""
    with device(server={"auth": "keys"}) as target:
        assert guesses(target, 6) > 1.4


def test_forwarded_address_known_proxy_taken() -> None:
    with device(server={"auth": "keys", "proxies": ["127.0.0.0/8"]}) as target:
        assert guesses(target, 6) < 1.4
