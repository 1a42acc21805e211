"""What attacks are made of: raw sockets, frames, and an admitted stream whose lateness is measured meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

from websockets.sync.client import connect

from tests.attacks.device import Device
from tests.speech import silence, tone

PIECE_S = 0.1
"""Seconds of audio in one message of the admitted stream, sent in real time."""
SPEECH_S = 1.0
ENDS_S = 0.7
"""Silence that ends a segment: ``silence_to_end_ms`` of default.toml."""
WAIT_S = 20.0
"""The longest an admitted final is waited for."""

EMPTY = b"\x82\x80" + bytes(4)
"""A binary message without content, masked: 6 bytes, the smallest frame that a client may send (RFC 6455, 5.2)."""
PING = b"\x89\xfd" + bytes(4) + bytes(125)
"""A ping with the longest content, masked; its pong takes 127 bytes."""


def upgrade(target: str, host: str = "localhost", headers: str = "") -> bytes:
    """A request for a WebSocket. ``headers`` are further lines, each with its end."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
    ).encode()


def answered(device: Device, request: bytes, timeout_s: float = 5.0) -> int:
    """The HTTP status that ``request`` is answered with; 0 when the connection ends, or ``timeout_s`` pass, before."""
    with socket.create_connection(device.address, timeout_s) as client:
        client.sendall(request)
        line = b""
        with contextlib.suppress(OSError):
            while b"\r\n" not in line and (more := client.recv(4096)):
                line += more
    return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0


@contextlib.contextmanager
def flooding(device: Device, count: int, opening: bytes, flood: bytes) -> Iterator[None]:
    """Meanwhile ``count`` sockets send ``opening``, then ``flood`` again and again; one that is closed comes again.

    They never read more than the first bytes of the answer.
    """
    over = threading.Event()

    def attack() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.socket() as attacker:
                attacker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                attacker.settimeout(0.5)
                attacker.connect(device.address)
                attacker.sendall(opening)
                attacker.recv(256)
                while not over.is_set():
                    with contextlib.suppress(TimeoutError):
                        attacker.send(flood)

    threads = [threading.Thread(target=attack) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def lateness_s(device: Device, key: str, rounds: int = 2) -> list[float]:
    """Seconds by which each final of an admitted stream in real time comes after the silence that ends its segment.

    One that has not come after ``WAIT_S`` is the last one, with that time.
    """
    piece = int(PIECE_S * 32_000)
    speech = tone(SPEECH_S) + silence(ENDS_S)
    late: list[float] = []
    with connect(f"ws://127.0.0.1:{device.port}/v1/stream?partial_ms=0&key={key}", open_timeout=WAIT_S) as stream:
        finals: list[float] = []

        def listen() -> None:
            with contextlib.suppress(Exception):
                for message in stream:
                    if json.loads(message)["type"] == "final":
                        finals.append(time.monotonic())

        listening = threading.Thread(target=listen)
        listening.start()
        while len(late) < rounds and WAIT_S not in late:
            began, sent = time.monotonic(), 0
            while len(finals) == len(late) and time.monotonic() - began < WAIT_S:
                chunk = speech[sent : sent + piece].ljust(piece, b"\0")
                sent += piece
                time.sleep(max(0.0, began + sent / 32_000 - time.monotonic()))  # as a microphone delivers it
                stream.send(chunk)
            came = len(finals) > len(late)
            late.append(finals[len(late)] - began - SPEECH_S - ENDS_S if came else WAIT_S)
        stream.close()
        listening.join()
    return late


def highest(read: Callable[[], int], seconds: float) -> int:
    """The highest value of ``read`` within so many seconds, looked at ten times a second."""
    ends, most = time.monotonic() + seconds, read()
    while time.monotonic() < ends:
        time.sleep(0.1)
        most = max(most, read())
    return most
