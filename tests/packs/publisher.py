"""A publisher of model packs on this machine's own network, with the faults of a real one; and a model to publish."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MODEL = {
    "am/final.mdl": b"weights" * 1000,
    "conf/mfcc.conf": b"--num-mel-bins=40\n",
    "conf/model.conf": b"--beam=13.0\n",
    "graph/HCLr.fst": b"sounds" * 500,
    "graph/Gr.fst": b"words" * 500,
    "graph/disambig_tid.int": b"1\n2\n",
    "graph/phones/word_boundary.int": b"1 nonword\n",
}
"""The files of something that looks like a Vosk model from outside."""


def folder(path: Path, files: dict[str, bytes] = MODEL) -> Path:
    """The files written below ``path``."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zipped(files: dict[str, bytes] = MODEL, leading: str = "vosk-model-small-xx-1/") -> bytes:
    """The files as a publisher zips them: inside of one folder, with an entry of its own."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        if leading:
            archive.writestr(leading, b"")
        for name, content in files.items():
            archive.writestr(leading + name, content)
    return packed.getvalue()


class Publisher(HTTPServer):
    """Answers every path with ``body``, or with that of its last part; remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.body = zipped()
        self.bodies: dict[str, bytes] = {}
        """Last part of a path -> what is answered instead of ``body``."""
        self.status = 0
        """When set, the answer to everything."""
        self.ranges = True
        self.cuts: list[int] = []
        """How many bytes of each of the next answers arrive before the connection breaks."""
        self.length = True
        """Whether the size is told in advance."""
        self.shift = 0
        """How far a range begins from where it was asked to."""
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        publisher, asked = self.server, self.headers["Range"]
        publisher.requests.append((self.path, asked))
        body = publisher.bodies.get(self.path.rsplit("/", 1)[-1], publisher.body)
        size, begin = len(body), 0
        if publisher.status:
            return self._head(publisher.status)
        if asked and publisher.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + publisher.shift
            if begin >= size:
                return self._head(416, {"Content-Range": f"bytes */{size}"})
        headers = {"Content-Length": str(size - begin)} if publisher.length else {}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        self._head(206 if begin else 200, headers)
        end = begin + publisher.cuts.pop(0) if publisher.cuts else size
        self.wfile.write(body[begin:end])
        return None

    def _head(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def publishing() -> Iterator[Publisher]:
    with Publisher() as publisher:
        thread = threading.Thread(target=publisher.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield publisher
        finally:
            publisher.shutdown()
            thread.join()
