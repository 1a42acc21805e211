"""What a web page in a browser can do: nothing under a name of its own, and no stream on a device without keys."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.attacks.client import answered, upgrade
from tests.attacks.device import Device, device

MICROPHONE = {"name": "desk", "device": "no such card"}
EVIL = "Origin: https://evil.example\r\n"


def get(path: str, host: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode()


def post(path: str, headers: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n{headers}\r\nxx".encode()
    )


@pytest.fixture(scope="module", params=["open", "keys"])
def networked(request: pytest.FixtureRequest) -> Iterator[Device]:
    """A device that the network reaches, with and without keys."""
    tables = {"server": {"host": "0.0.0.0", "auth": request.param}, "discovery": {"enabled": False}}
    with device(**tables, microphones=[MICROPHONE], tls={"enabled": False, "names": ["stt.example.org"]}) as made:  # type: ignore[arg-type]
        yield made


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/microphones?key=x", "/kiosk", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_rebound_name_page_refused(networked: Device, path: str, host: str) -> None:
    assert answered(networked, get(path, host)) == 403


@pytest.mark.parametrize("path", ["/v1/microphones/desk?key=x", "/v1/stream?key=x", "/nothing"])
def test_rebound_name_socket_refused(networked: Device, path: str) -> None:
    assert answered(networked, upgrade(path, host="evil.example", headers="Origin: http://evil.example\r\n")) == 403


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1:80", "[::1]:8080", "192.168.7.9", "[fe80::1]", "stt.example.org", "STT.Example.org.:443"],
)
def test_own_names_page_answered(networked: Device, host: str) -> None:
    assert answered(networked, get("/healthz", host)) == 200


def test_host_name_page_answered(networked: Device) -> None:
    short = socket.gethostname().partition(".")[0]
    for host in (socket.gethostname(), short, f"{short}.local", f"{short}.lan"):
        assert answered(networked, get("/healthz", host)) == 200


@pytest.fixture(scope="module")
def keyless() -> Iterator[Device]:
    with device(server={"allowed_origins": ["https://known.example"]}) as made:
        yield made


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[::1"])
def test_foreign_page_keyless_device_refused(keyless: Device, origin: str) -> None:
    header = f"Origin: {origin}\r\n"
    assert answered(keyless, upgrade("/v1/stream?key=x", headers=header)) == 403
    assert answered(keyless, upgrade("/v3/ws?token=x&sample_rate=16000", headers=header)) == 403
    assert answered(keyless, post("/v1/transcribe?key=x", header)) == 403


@pytest.mark.parametrize("origin", ["https://known.example", "http://localhost:3000", "http://127.0.0.1:3000"])
def test_allowed_page_keyless_device_stream(keyless: Device, origin: str) -> None:
    assert answered(keyless, upgrade("/v1/stream?key=x", headers=f"Origin: {origin}\r\n")) == 101


def test_own_page_keyless_device_stream(keyless: Device) -> None:
    headers = "Origin: http://192.168.7.9:8080\r\n"
    assert answered(keyless, upgrade("/v1/stream?key=x", host="192.168.7.9:8080", headers=headers)) == 101


def test_foreign_page_device_with_keys_stream() -> None:
    with device(server={"auth": "keys"}) as target:
        assert answered(target, upgrade(f"/v1/stream?key={target.key()}", headers=EVIL)) == 101
