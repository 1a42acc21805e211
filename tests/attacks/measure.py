"""Prints the figures of the attacks, as in docs/security.md: python -m tests.attacks.measure"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable

from tests.attacks.client import EMPTY, PING, answered, flooding, highest, lateness_s, upgrade
from tests.attacks.device import Device, device
from tests.attacks.test_connections import HEALTH, ended, idle_tls, sockets
from tests.attacks.test_frames import CHUNK, FLOOD, FRAGMENTS, ONE_BYTE, PONG, REFUSED, chunked

KEYS = {"auth": "keys"}
TLS = {"enabled": True, "port": 0}


def lag_ms(target: Device) -> float:
    """The 99th percentile of the event loop's lag, as the health page tells it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/healthz", timeout=30) as page:
        figure: float = json.load(page)["lag_p99_ms"]
        return figure


def late(name: str, count: int, opening: Callable[[Device], bytes], flood: bytes) -> None:
    with device(server=KEYS) as target:
        key = target.key()
        quiet = max(lateness_s(target, key))
        with flooding(target, count, opening(target), flood):
            time.sleep(0.5)
            worst = max(lateness_s(target, key, rounds=3))
        print(f"{name}: final late by {worst:.2f} s (quiet {quiet:.2f} s), lag p99 {lag_ms(target):.0f} ms", flush=True)


def grown(name: str, count: int, opening: Callable[[Device], bytes], flood: bytes) -> None:
    with device(server=KEYS) as target:
        request, before = opening(target), target.memory
        with flooding(target, count, request, flood):
            most = highest(lambda: target.memory, 9.0)
        print(f"{name}: memory {before >> 20} -> {most >> 20} MiB", flush=True)


def stream(target: Device) -> bytes:
    return upgrade(f"/v1/stream?key={target.key('attacker')}")


def refused(target: Device) -> bytes:
    return upgrade(REFUSED)


def main() -> None:
    late("16 refused sockets, empty messages", 16, refused, EMPTY * FLOOD)
    late("16 refused sockets, pongs", 16, refused, PONG * FLOOD)
    late("4 admitted sockets, empty messages", 4, stream, EMPTY * FLOOD)
    late("4 admitted sockets, messages of a byte", 4, stream, ONE_BYTE * FLOOD)
    late("4 admitted sockets, pongs", 4, stream, PONG * FLOOD)
    late("4 admitted sockets, fragments", 4, stream, FRAGMENTS)
    late("4 uploads, chunks of a byte", 4, chunked, CHUNK * FLOOD)
    grown("2 refused sockets, unread pongs", 2, refused, PING * 2000)
    grown("2 admitted sockets, unread pongs", 2, stream, PING * 2000)
    with device(server=KEYS) as target, sockets(target.address, 1) as (silent,):
        began = time.monotonic()
        gone = ended(silent, 12.0)
        print(f"silent socket: {f'ended after {time.monotonic() - began:.1f} s' if gone else 'open after 12 s'}")
    with device(tls=TLS) as target, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(idle_tls(target))
        before = target.memory
        for _ in range(60):
            stack.enter_context(idle_tls(target))
        time.sleep(0.3)
        print(f"idle TLS socket: {(target.memory - before) / 60 / 1024:.0f} KiB")
    with device(server=KEYS) as target, sockets(target.address, 200) as held:
        before = target.memory
        for each in held:
            each.sendall(b"GET / HTTP/1.1\r\nHost: " + b"x" * 8000)
        time.sleep(0.5)
        print(f"half a header of 8 kB: {(target.memory - before) / 200 / 1024:.0f} KiB")
    with device(descriptors=80) as target, sockets(target.address, 100):
        cpu_s, log = target.cpu_s, target.log.stat().st_size
        time.sleep(5.0)
        print(
            f"no descriptor left, 5 s: {target.cpu_s - cpu_s:.2f} s of processor time, "
            f"{(target.log.stat().st_size - log) / 1000:.1f} kB of log"
        )
    with device(server={"host": "0.0.0.0", "auth": "open"}, discovery={"enabled": False}) as target:
        rebound = HEALTH.replace(b"localhost", b"evil.example").replace(b"/healthz", b"/v1/microphones?key=x")
        print(f"rebound name, open device on the network, /v1/microphones: {answered(target, rebound)}")
    with device() as target:
        evil = "Origin: https://evil.example\r\n"
        print(f"foreign page, keyless device, stream: {answered(target, upgrade('/v1/stream?key=x', headers=evil))}")
        for name, request in (
            ("8,300 bytes of query", upgrade(f"/v1/stream?key={'k' * 8300}")),
            ("header line of 8,300 bytes", upgrade("/v1/stream?key=x", headers=f"X-Long: {'x' * 8300}\r\n")),
            ("130 headers", upgrade("/v1/stream?key=x", headers="X-A: b\r\n" * 130)),
            ("Content-Length: 5", upgrade("/v1/stream?key=x", headers="Content-Length: 5\r\n")),
        ):
            print(f"upgrade with {name}: {answered(target, request, 2.0) or 'no answer'}")


if __name__ == "__main__":
    main()
