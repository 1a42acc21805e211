"""Where the daemon is, what it is let know, and what becomes of a stranger in its place."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import load
from appliance.doctor import box, service
from appliance.doctor.box import ANY, address, checked, fetch, here, look, named_key, own_key
from appliance.doctor.findings import Verdict

HERE = "http://127.0.0.1:8080"
HEAD = b"HTTP/1.1 200 OK\r\n"


def test_looking_without_a_daemon_and_at_a_broken_configuration(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[server]\nport = 70000\n")
    box = look(file, "http://127.0.0.1:9")
    assert not box.running
    assert "refused" in box.silent
    assert "server.port" in box.config_problem
    assert service.configuration(box).verdict is Verdict.BAD


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"), ("fd00::2", "http://[fd00::2]:80"),
     ("192.0.2.7", "http://192.0.2.7:80")],
)  # fmt: skip
def test_where_the_daemon_is(host: str, url: str) -> None:
    assert address(load(None, {"server": {"host": host, "port": 80}})) == url


# whoever answers at the port


@contextlib.contextmanager
def stranger(*pieces: bytes, forever: bytes = b"") -> Iterator[str]:
    """A server that answers anything with these bytes, then with others again and again."""

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(4096)
                    for piece in pieces:
                        connection.sendall(piece)
                    while forever and not over.wait(0.05):
                        connection.sendall(forever)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=answer)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not this software (BadStatusLine)"),
        (b"HTTP/1.1 200 " + b"O" * 70_000, "not this software (LineTooLong)"),
        (b"", "Remote end closed connection"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", "HTTP status 302"),
        (HEAD + b"\r\n\xff\x00", box.STRANGER),
        (HEAD + b"\r\n[]", box.STRANGER),
        (HEAD + b"\r\n{}", box.STRANGER),
        (HEAD + b'\r\n{"a": ' + b"[" * 100_000, box.STRANGER),
        (HEAD + b'\r\n{"status": "alive", "microphones": 5}', box.STRANGER),
        (HEAD + b'Content-Length: 9999999\r\n\r\n{"status": "' + b" " * box.LARGEST, "more than 1 MiB"),
    ],
)  # fmt: skip
def test_a_stranger_at_the_port(said: bytes, reason: str) -> None:
    with stranger(said) as url:
        found = look(None, url)
    assert not found.running
    assert reason in found.silent
    assert reason in service.daemon(found).facts[0]


@pytest.mark.parametrize("said", [b"H", HEAD + b"a: b\r\n", HEAD + b"Content-Length: 999\r\n\r\n{"])
def test_a_stranger_who_does_not_come_to_an_end(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "ANSWER_S", 0.5)
    began = time.monotonic()
    with stranger(said, forever=b"x") as url, pytest.raises(TimeoutError, match="no answer within"):
        fetch(f"{url}/healthz")
    assert time.monotonic() - began < 5


# URLs


@pytest.mark.parametrize(
    "url", [HERE, "https://box.local:8443", "http://[::1]", "http://[fd00::2]:80/below", f"{HERE}/"]
)
def test_a_url(url: str) -> None:
    assert checked(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "nowhere", "ftp://there", "http://", "http://[", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:0",
     "http://127.0.0.1:port", "http://a b", "http://a\nb", "http://é.example", "http://a/?b", "http://a/#b"],
)  # fmt: skip
def test_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="a URL looks like http") as caught:
        checked(url)
    assert str(caught.value).isprintable()


def test_which_urls_are_of_this_machine() -> None:
    ours = [HERE, "http://127.9.9.9", "http://[::1]:80", "http://localhost:1", f"http://{socket.gethostname()}:80"]
    assert [url for url in ours if not here(url)] == []
    theirs = ["http://192.0.2.77:8080", "http://example.org", "http://localhost.example.org", "http://127.0.0.1.nip.io"]
    assert [url for url in theirs if here(url)] == []


# keys


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The daemon's runtime directory."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(box, "RUNTIME", tmp_path / "none")
    return tmp_path


def test_the_key_that_the_daemon_left_is_for_this_machine_only(runtime: Path) -> None:
    assert own_key(HERE) == ANY
    (runtime / "selftest.key").write_text("a-B_9\n")
    assert own_key(HERE) == "a-B_9"
    assert own_key("http://192.0.2.77:8080") == ANY
    assert look(None, "http://127.0.0.1:9").key == "a-B_9"


def test_what_cannot_be_the_daemons_key(runtime: Path) -> None:
    path, secret = runtime / "selftest.key", runtime / "secret"
    secret.write_text("secret")
    path.symlink_to(secret)
    assert own_key(HERE) == ANY
    path.unlink()
    os.mkfifo(path)
    assert own_key(HERE) == ANY
    path.unlink()
    path.mkdir()
    assert own_key(HERE) == ANY
    path.rmdir()
    for text in ("", "root:x:0:0", "two words", "a\nb", "k" * 201, "k" * 150 + " " * 100):
        path.write_text(text)
        assert own_key(HERE) == ANY, text


def test_a_key_that_somebody_keeps(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("my.own/key!\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert named_key(link) == "my.own/key!"
    for content in (b"", b"a\nb", b"\xff\xfe", b"k" * 300):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="there is no key in it"):
            named_key(path)
    with pytest.raises(ValueError, match="there is no key in it"):
        named_key(Path("/dev/zero"))
