"""Sockets that say nothing, or too many of them: each has a deadline, and their number a bound."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.attacks.client import answered
from tests.attacks.device import Device, device

DEADLINE_S = 1.5
"""Instead of 10 s, for the test."""
DEADLINES = {"http_protocol.REQUEST_S": DEADLINE_S, "acceptor.HANDSHAKE_S": DEADLINE_S}
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.contextmanager
def sockets(address: tuple[str, int], count: int, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """So many connected sockets; those that are not taken from ``source`` are left out."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.settimeout(5.0)
            client.bind((source, 0))
            client.connect(address)
            made.append(client)
        yield made


def ended(client: socket.socket, within_s: float) -> bool:
    """Whether the other side ends the connection within so many seconds; what it says before is passed over."""
    client.settimeout(within_s)
    try:
        while client.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def idle_tls(target: Device) -> socket.socket:
    """A TLS connection after its handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", target.tls_port), 5.0))


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: loc",
        HEALTH + b"GET /healthz HTTP/1.1\r\nHost:",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nx",
    ],
    ids=["silent", "half a header", "half a second request", "a body without end"],
)
def test_request_incomplete_socket_closed(beginning: bytes) -> None:
    with device(constants=DEADLINES) as target, sockets(target.address, 1) as (client,):
        client.sendall(beginning)
        assert ended(client, DEADLINE_S + 2)


def test_request_slow_header_socket_closed() -> None:
    """A byte now and then does not prolong the deadline."""
    with device(constants=DEADLINES) as target, sockets(target.address, 1) as (client,):
        began = time.monotonic()
        client.settimeout(0.1)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < DEADLINE_S + 2:
                client.send(b"G")
                with contextlib.suppress(TimeoutError):
                    if not client.recv(16):
                        break
        assert time.monotonic() - began < DEADLINE_S + 2


def test_tls_handshake_missing_socket_closed() -> None:
    tls = {"enabled": True, "port": 0}
    with device(constants=DEADLINES, tls=tls) as target, sockets(("127.0.0.1", target.tls_port), 1) as (client,):
        assert ended(client, DEADLINE_S + 2)


def test_tls_idle_memory_bounded() -> None:
    with device(tls={"enabled": True, "port": 0}) as target, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(idle_tls(target))
        before = target.memory
        for _ in range(60):
            stack.enter_context(idle_tls(target))
        time.sleep(0.3)
        each = (target.memory - before) / 60
        assert each < 130_000, f"{each / 1024:.0f} KiB for each"


def test_connections_per_address_refused_beyond_cap() -> None:
    with device(server={"max_connections_per_address": 10}) as target:
        with sockets(target.address, 10) as held, sockets(target.address, 5) as more:
            assert all(ended(client, 2.0) for client in more)
            with sockets(target.address, 1, source="127.0.0.2") as (other,):
                other.sendall(HEALTH)
                assert other.recv(64).startswith(b"HTTP/1.1 200")
            assert not ended(held[0], 0.3)
        while answered(target, HEALTH) != 200:  # when the held ones have gone, there is room again
            time.sleep(0.05)


def test_connections_in_total_refused_beyond_cap() -> None:
    with device(server={"max_connections": 10, "max_connections_per_address": 10}) as target:
        both = sockets(target.address, 5), sockets(target.address, 5, source="127.0.0.2")
        with both[0], both[1], sockets(target.address, 1, source="127.0.0.3") as (more,):
            assert ended(more, 2.0)


def test_descriptors_exhausted_accepting_pauses() -> None:
    with device(descriptors=80) as target:
        with sockets(target.address, 100):
            cpu_s, log = target.cpu_s, target.log.stat().st_size
            time.sleep(3.0)
            assert target.cpu_s - cpu_s < 0.6
            assert target.log.stat().st_size - log < 10_000
        began = time.monotonic()
        while answered(target, HEALTH) != 200:
            time.sleep(0.05)
        assert time.monotonic() - began < 5.0
