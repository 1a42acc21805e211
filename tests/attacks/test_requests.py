"""Large requests for a WebSocket: what a cloud documents works, all else gets an HTTP status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from tests.attacks.client import answered, upgrade
from tests.attacks.device import Device, device


@pytest.fixture(scope="module")
def target() -> Iterator[Device]:
    with device() as made:
        yield made


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(f"/v1/stream?key={'k' * 8300}"), 101),
        (upgrade(f"/v1/stream?key={'k' * 70_000}"), 414),
        (upgrade(f"/v1/stream?key={'k' * 300_000}"), 414),
        (upgrade("/v1/stream?" + "&" * 60_000), 414),
        (upgrade("/v1/stream?key=x", headers=f"X-Long: {'x' * 8_300}\r\n"), 431),
        (upgrade("/v1/stream?key=x", headers=f"X-Long: {'x' * 300_000}\r\n"), 431),
        (upgrade("/v1/stream?key=x", headers="X-A: b\r\n" * 130), 431),
        (upgrade("/v1/stream?key=x", headers="X-A: b\r\n" * 30_000), 431),
        (upgrade("/v1/stream?key=x", headers="Content-Length: 5\r\n") + b"12345", 400),
        (upgrade("/v1/stream?key=x", headers="Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400),
        (upgrade("/v1/stream?key=x", headers="Content-Length: 0\r\n"), 101),
        (upgrade("/v1/stream?key=x", headers="Sec-WebSocket-Key: second\r\n"), 400),
        (b"GET /healthz?" + b"q" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 130 + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=range(15),
)
def test_request_large_or_odd_status(target: Device, request_: bytes, status: int) -> None:
    assert answered(target, request_) == status


def test_assemblyai_hundred_devanagari_terms_session(target: Device) -> None:
    """The documented limits: 100 terms of at most 50 characters; here 44 kB of query."""
    terms = [("वाक्पहचान" * 6)[: 49 - number % 3] for number in range(100)]
    query = "&".join(f"keyterms_prompt={quote(term)}" for term in terms)
    assert 44_000 < len(query) < 46_000
    url = f"ws://127.0.0.1:{target.port}/v3/ws?sample_rate=16000&token=any&{query}"
    with connect(url) as client:
        assert json.loads(client.recv(5.0))["type"] == "Begin"


def test_elevenlabs_fifty_terms_session(target: Device) -> None:
    query = "&".join(f"keyterms={quote(('शब्दावली' * 3)[:20])}" for _ in range(50))
    assert len(query) > 9_000
    with connect(
        f"ws://127.0.0.1:{target.port}/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&token=any&{query}"
    ) as client:
        assert json.loads(client.recv(5.0))["message_type"] == "session_started"
