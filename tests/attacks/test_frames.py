"""Tiny frames: parsing them must not keep an admitted stream from its finals."""

from __future__ import annotations

import time

import pytest

from tests.attacks.client import EMPTY, flooding, lateness_s, upgrade
from tests.attacks.device import Device, device

PONG = b"\x8a\x80" + bytes(4)
"""A pong without content, masked: no answer is due to it."""
ONE_BYTE = b"\x82\x81" + bytes(4) + b"\0"
FRAGMENTS = b"\x02\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 50_000
"""A message of fragments without content."""
CHUNK = b"1\r\nx\r\n"
"""A byte of a body in HTTP's chunked form."""
FLOOD = 50_000
"""Frames that a socket sends at a time; its kernel's buffer takes a part of them."""
LATE_S = 0.5
"""By which the better of two finals may be late: 0.1 s on a quiet machine, the rest is for the attackers' own load."""

REFUSED = "/v3/ws?sample_rate=1"
"""AssemblyAI refuses in-band: the socket is accepted, told so and closed. No key is looked at for that."""


def chunked(target: Device) -> bytes:
    """The beginning of an upload in chunks."""
    return (
        "POST /v1/transcribe?model=default HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: audio/wav\r\nAuthorization: Bearer {target.key('attacker')}\r\nExpect: 100-continue\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("frame", [EMPTY, PONG], ids=["messages", "pongs"])
def test_tiny_frames_refused_socket_final_in_time(frame: bytes) -> None:
    with device(server={"auth": "keys"}) as target:
        key = target.key()
        with flooding(target, 16, upgrade(REFUSED), frame * FLOOD):
            time.sleep(0.5)
            assert min(lateness_s(target, key)) < LATE_S


@pytest.mark.parametrize("frame", [EMPTY, ONE_BYTE, PONG], ids=["empty", "one byte", "pongs"])
def test_tiny_frames_admitted_socket_final_in_time(frame: bytes) -> None:
    with device(server={"auth": "keys"}) as target:
        key = target.key()
        with flooding(target, 4, upgrade(f"/v1/stream?key={target.key('attacker')}"), frame * FLOOD):
            time.sleep(0.5)
            assert min(lateness_s(target, key)) < LATE_S


def test_fragments_without_end_final_in_time() -> None:
    with device(server={"auth": "keys"}) as target:
        key, opening = target.key(), upgrade(f"/v1/stream?key={target.key('attacker')}")
        with flooding(target, 4, opening, FRAGMENTS):
            time.sleep(0.5)
            assert min(lateness_s(target, key)) < LATE_S


def test_tiny_chunks_upload_final_in_time() -> None:
    """HTTP's chunks are the same fault elsewhere: each is an event for its parser."""
    with device(server={"auth": "keys"}) as target:
        key = target.key()
        with flooding(target, 4, chunked(target), CHUNK * FLOOD):
            time.sleep(0.5)
            assert min(lateness_s(target, key)) < LATE_S
