"""The head of an HTTP request: its bounds, which are checked before ``h11`` parses it, and the status beyond them."""

from __future__ import annotations

from http import HTTPStatus

import h11

TARGET_BYTES = 1 << 16
"""Of a request's path and query. 100 key terms of 50 Devanagari characters, which AssemblyAI documents, take 45 kB."""
PARAMETERS = 1024
"""In a query; each costs time to decode."""
HEADERS = 128
"""Lines of a request's header; the bound of the library ``websockets``."""
LINE_BYTES = 8192
"""Of a line of the header; the same library's, and that of popular HTTP servers."""
HEAD_BYTES = TARGET_BYTES + (1 << 15)
"""Of the request line and all header lines."""
ENDS = (b"\n\r\n", b"\n\n")
"""Of a head. The second is not allowed, but ``h11`` takes it (RFC 9112, 2.2)."""


class Requests(h11.Connection):
    """The server's side of an HTTP/1.1 connection. ``refusal`` is why its last request is not served, if it is not.

    The refusal's ``error_status_hint`` is the HTTP status.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)
        self.refusal: h11.RemoteProtocolError | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event, as ``h11`` has it. Raises ``h11.RemoteProtocolError`` for a request that is not served."""
        try:
            if self.their_state is h11.IDLE and self.our_state is h11.IDLE:
                check(self.trailing_data[0])
            return super().next_event()
        except h11.RemoteProtocolError as refusal:
            self.refusal = refusal
            raise


def check(data: bytes) -> None:
    """Raise ``h11.RemoteProtocolError`` when ``data`` begins with a head that is too large, whether complete or not.

    An incomplete head is only looked through quickly: it may come in thousands of pieces.
    """
    ends = [at for end in ENDS if (at := data.find(end, 0, HEAD_BYTES + len(end))) >= 0]
    head = data[: min(ends)] if ends else data
    line = head.partition(b"\n")[0]
    if len(line) > TARGET_BYTES:
        raise _refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"the request line is longer than {TARGET_BYTES} bytes")
    if head.count(b"\n") > HEADERS:
        raise _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request has more than {HEADERS} header lines")
    lines = head.split(b"\n")[1:] if ends else [head[head.rfind(b"\n") + 1 :]] if b"\n" in head else []
    if len(head) > HEAD_BYTES or any(len(each) > LINE_BYTES for each in lines):
        text = f"a header line is longer than {LINE_BYTES} bytes"
        raise _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
    if line.count(b"&") >= PARAMETERS:
        raise _refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"the query has more than {PARAMETERS} parameters")


def _refusal(status: HTTPStatus, text: str) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(text, error_status_hint=status)
