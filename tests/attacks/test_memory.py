"""What a client does not read must not fill the device's memory."""

from __future__ import annotations

import pytest

from tests.attacks.client import PING, flooding, highest, upgrade
from tests.attacks.device import device
from tests.attacks.test_frames import REFUSED

GROWTH = 16 << 20
"""Bytes that the daemon may grow by meanwhile; two sockets without bound took 150 MiB in 9 s."""


@pytest.mark.parametrize("admitted", [False, True], ids=["refused", "admitted"])
def test_pings_unread_pongs_memory_bounded(admitted: bool) -> None:
    with device(server={"auth": "keys"}) as target:
        path = f"/v1/stream?key={target.key()}" if admitted else REFUSED
        before = target.memory
        with flooding(target, 2, upgrade(path), PING * 2000):
            assert highest(lambda: target.memory, 5.0) - before < GROWTH


def test_message_after_close_memory_bounded() -> None:
    """A refused socket announces a message of the greatest size and sends it: nothing is kept of it."""
    with device(server={"auth": "keys"}) as target:
        before = target.memory
        frame = b"\x82\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + bytes(1 << 16)
        with flooding(target, 8, upgrade(REFUSED), frame):
            assert highest(lambda: target.memory, 3.0) - before < GROWTH
