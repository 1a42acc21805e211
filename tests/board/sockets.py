"""The other end of a datagram."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A bound socket that does not wait; ``@`` in front of an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as receiver:
        receiver.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield receiver


def received(receiver: socket.socket) -> list[bytes]:
    """All that has come."""
    datagrams = []
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.append(receiver.recv(1 << 20))
    return datagrams
