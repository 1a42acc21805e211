"""One datagram to a service of this machine, which must never keep us waiting."""

from __future__ import annotations

import socket


def send(address: str, payload: bytes) -> None:
    """To a Unix socket's path, or its abstract name after an ``@``; ``OSError`` when it is not taken at once.

    A socket for each: descriptors do not outlive a fork, nor an address a restart of the service.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
        link.sendto(payload, f"\0{address[1:]}" if address.startswith("@") else address)
