"""Bounds of a request's head, whether it comes whole or in pieces."""

from __future__ import annotations

import h11
import pytest

from appliance.server.request_head import HEAD_BYTES, HEADERS, LINE_BYTES, PARAMETERS, TARGET_BYTES, Requests

LINE, END = b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"
REST = LINE_BYTES - len(b"A: \r")


def status(data: bytes, piece: int) -> int:
    """0 for a request that is served, else the HTTP status."""
    requests = Requests()
    for start in range(0, len(data), piece):
        requests.receive_data(data[start : start + piece])
        try:
            if isinstance(requests.next_event(), h11.Request):
                return 0
        except h11.RemoteProtocolError as refusal:
            assert requests.refusal is refusal
            return refusal.error_status_hint
    raise AssertionError("neither served nor refused")


@pytest.mark.parametrize("piece", [1 << 20, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LINE + END, 0),
        (b"GET /" + b"q" * (TARGET_BYTES - 20) + b" HTTP/1.1\r\nHost: x\r\n" + END, 0),
        (b"GET /" + b"q" * TARGET_BYTES + b" HTTP/1.1\r\nHost: x\r\n" + END, 414),
        (b"GET /" + b"q" * (2 * HEAD_BYTES), 414),
        (b"GET /?" + b"&" * PARAMETERS + b" HTTP/1.1\r\nHost: x\r\n" + END, 414),
        (LINE + b"A: " + b"a" * REST + b"\r\n" + END, 0),
        (LINE + b"A: " + b"a" * (REST + 1) + b"\r\n" + END, 431),
        (LINE + b"A: " + b"a" * (2 * HEAD_BYTES), 431),
        (LINE + b"A: b\r\n" * (HEADERS - 1) + END, 0),
        (LINE + b"A: b\r\n" * HEADERS + END, 431),
        (LINE + b"A: b\n" * 50_000, 431),
        (LINE + (b"A: " + b"a" * 8000 + b"\r\n") * 20 + END, 431),
        (b"nonsense\r\n\r\n", 400),
        (LINE + b"Host: y\r\n" + END, 400),
    ],
)
def test_head_of_a_request_served_or_status(data: bytes, expected: int, piece: int) -> None:
    assert status(data, piece) == expected


def test_head_of_second_request_checked_too() -> None:
    requests = Requests()
    requests.receive_data(LINE + END + b"GET /" + b"q" * TARGET_BYTES + b" HTTP/1.1\r\nHost: x\r\n" + END)
    assert isinstance(requests.next_event(), h11.Request)
    assert isinstance(requests.next_event(), h11.EndOfMessage)
    requests.send(h11.Response(status_code=204, headers=[]))
    requests.send(h11.EndOfMessage())
    requests.start_next_cycle()
    with pytest.raises(h11.RemoteProtocolError) as refusal:
        requests.next_event()
    assert refusal.value.error_status_hint == 414
