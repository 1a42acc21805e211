"""The context and what renews it; then the second listener of a whole box."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance.config import ConfigError
from appliance.daemon import Daemon
from appliance.server import machine, tls
from appliance.server.authority import Authority
from appliance.server.certificates import CertificateError, read
from appliance.server.tls import Own, Tls
from tests.box import box, fake, run, url
from tests.server.handshake import Pair, trusting
from tests.server.test_bad_input import FAST, HEADERS, HEARD, TALK, serves, until

DAY = 86_400
NAMES = frozenset({"localhost"})


class Clock:
    def __init__(self) -> None:
        self.at = time.time()

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority(tmp_path / "tls", lambda: NAMES, clock)


def issued(folder: Path, name: str = "localhost", days: float = 0) -> tuple[Path, Path]:
    """Files for a certificate of one's own, made so many days from now: certificate, key."""
    other = Authority(folder, lambda: frozenset({name}), lambda: time.time() + days * DAY)
    other.renew()
    return other.files


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_old_versions_are_not_spoken(authority: Authority) -> None:
    context = Tls(authority).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    client = trusting(authority.certificate)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert Pair(context, client, "localhost").client.version() == "TLSv1.2"


def test_http_is_agreed_upon_and_other_protocols_do_no_harm(authority: Authority) -> None:
    context, client = Tls(authority).context, trusting(authority.certificate)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert Pair(context, client, "localhost").client.selected_alpn_protocol() == "http/1.1"
    client.set_alpn_protocols(["h2"])
    assert Pair(context, client, "localhost").client.selected_alpn_protocol() is None


def test_a_new_certificate_is_for_new_connections_and_the_old_ones_live_on(authority: Authority, clock: Clock) -> None:
    clock.at -= 380 * DAY
    made = Tls(authority)
    client = trusting(authority.certificate)
    first = Pair(made.context, client, "localhost")

    asyncio.run(made.check())
    assert Pair(made.context, client, "localhost").certificate == first.certificate
    clock.at += 380 * DAY
    asyncio.run(made.check())
    second = Pair(made.context, client, "localhost")
    assert second.certificate.ends - first.certificate.ends == pytest.approx(380 * DAY, abs=1)
    assert first.says(b"still here") == second.says(b"still here") == b"still here"


def test_what_cannot_be_renewed_stays_and_is_said_once(
    authority: Authority, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    made = Tls(authority)
    client = trusting(authority.certificate)
    before = Pair(made.context, client, "localhost").certificate
    key = authority.certificate.with_name("ca.key")
    whole = key.read_bytes()
    key.write_bytes(whole[:-100])
    clock.at += 370 * DAY
    for _ in range(3):
        asyncio.run(made.check())
    (message,) = told(caplog)
    assert f"{key}: is damaged" in message
    assert Pair(made.context, client, "localhost").certificate == before

    key.write_bytes(whole)
    clock.at -= 345 * DAY
    authority._server = None  # as after another process has changed it
    asyncio.run(made.check())
    assert len(told(caplog)) == 1


def test_own_files_are_taken_anew_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, key = tmp_path / "box.pem", tmp_path / "box.key"

    def put(folder: str) -> None:
        content = issued(tmp_path / folder)[0].read_bytes()
        for path in (certificate, key):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)

    put("two")
    put("one")
    made = Tls(Own(certificate, key))
    one, two = trusting(tmp_path / "one" / "ca.pem"), trusting(tmp_path / "two" / "ca.pem")
    first = Pair(made.context, one, "localhost")
    assert not made.source.due()

    put("two")
    assert made.source.due()
    asyncio.run(made.check())
    Pair(made.context, two, "localhost")
    assert first.says(b"still here") == b"still here"

    certificate.write_bytes(b"half")
    for _ in range(2):
        asyncio.run(made.check())
    assert told(caplog) == [
        f"the certificate cannot be replaced: tls.certificate: {certificate}: is not a certificate in PEM"
    ]
    Pair(made.context, two, "localhost")
    certificate.unlink()
    asyncio.run(made.check())
    assert told(caplog)[1:] == [
        f"the certificate cannot be replaced: tls.certificate: {certificate}: No such file or directory"
    ]
    put("one")
    asyncio.run(made.check())
    Pair(made.context, one, "localhost")


def _encrypted(pem: bytes) -> bytes:
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))


FAULTS: dict[str, tuple[Callable[[Path, Path, Path], Any], str]] = {
    "no certificate": (lambda own, key, other: own.unlink(), "tls.certificate: {own}: No such file"),
    "a folder": (lambda own, key, other: (own.unlink(), own.mkdir()), "tls.certificate: {own}: Is a directory"),
    "empty": (lambda own, key, other: own.write_bytes(b""), "tls.certificate: {own}: is not a certificate in PEM"),
    "no key": (lambda own, key, other: key.unlink(), "tls.key: {key}: No such file"),
    "empty key": (lambda own, key, other: key.write_bytes(b""), "tls.key: {key}: is not a key in PEM"),
    "another's key": (
        lambda own, key, other: key.write_bytes(other.read_bytes()),
        "tls.key: {key}: does not belong to the certificate",
    ),
    "encrypted": (
        lambda own, key, other: key.write_bytes(_encrypted(key.read_bytes())),
        "tls.key: {key}: is encrypted",
    ),
    "expired": (
        lambda own, key, other: [
            path.write_bytes(issued(own.parent / "old", days=-500)[0].read_bytes()) for path in (own, key)
        ],
        "tls.certificate: {own}: expired on 20",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_own_files_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path, fault: str) -> None:
    own, key = tmp_path / "own.pem", tmp_path / "own.key"
    for path in (own, key):
        path.write_bytes(issued(tmp_path / "mine")[0].read_bytes())
    spoil, words = FAULTS[fault]
    spoil(own, key, issued(tmp_path / "other")[1])
    with pytest.raises(CertificateError) as error:
        Tls(Own(own, key))
    assert str(error.value).startswith(words.format(own=own, key=key))

    async def work() -> None:
        with pytest.raises(ConfigError) as error:
            async with box(fake(), tls={"enabled": True, "port": 0, "certificate": str(own), "key": str(key)}):
                pass
        assert str(error.value).startswith(words.format(own=own, key=key))

    run(work)


def secure(state: Path, **settings: Any) -> dict[str, Any]:
    """The tables of a box with TLS."""
    return {**FAST, "tls": {"enabled": True, "port": 0, **settings}, "server": {"state_dir": str(state)}}


@contextlib.asynccontextmanager
async def client(daemon: Daemon, ca: Path, host: str = "localhost") -> AsyncIterator[ClientConnection]:
    assert daemon.bound_tls is not None
    address = f"wss://{host}:{daemon.bound_tls[1]}/stt/v3/stream"
    async with connect(address, additional_headers=HEADERS, compression=None, ssl=trusting(ca)) as connection:
        yield connection


async def words(connection: ClientConnection) -> str:
    await connection.send(TALK)
    text: str = (await until(connection, "transcript"))["text"]
    return text


def seen(connection: ClientConnection) -> frozenset[str]:
    """The names of the certificate that a client got."""
    der = connection.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return read(ssl.DER_cert_to_PEM_cert(der).encode()).names


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_box_speaks_over_tls_and_in_the_clear(tmp_path: Path, host: str) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon:
            async with client(daemon, tmp_path / "tls" / "ca.pem", host) as connection:
                assert await words(connection) == HEARD
            assert await serves(daemon)

    run(work)


def test_the_page_is_on_both_listeners_and_its_file_is_the_one_to_trust(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon:
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                pem = (await web.get("/trust/ca.pem")).text
                page = (await web.get("/trust")).text
            assert daemon.bound_tls is not None
            where = f"https://127.0.0.1:{daemon.bound_tls[1]}"
            assert where in page
            context = ssl.create_default_context(cadata=pem)
            async with httpx.AsyncClient(base_url=where, verify=context) as web:
                assert (await web.get("/trust")).text == page
                assert (await web.get("/readyz")).json()["ready"]

    run(work)


def test_a_new_address_is_covered_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "CHECK_S", 0.01)
    ca = tmp_path / "tls" / "ca.pem"

    async def work() -> None:
        async with box(fake(), **secure(tmp_path, names=["Speech.Example"])) as daemon, client(daemon, ca) as old:
            assert "speech.example" in seen(old)
            assert "192.0.2.99" not in seen(old)
            assert await words(old) == HEARD
            monkeypatch.setattr(machine, "addresses", lambda trie, if_inet6: {"192.0.2.99"})
            names: frozenset[str] = frozenset()
            while "192.0.2.99" not in names:
                async with client(daemon, ca) as new:
                    names = seen(new)
            assert (await words(old)).startswith(HEARD)

    run(work)


def test_stopping_gives_last_words_over_tls_too(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon, client(daemon, tmp_path / "tls" / "ca.pem") as connection:
            await until(connection, "connected")
            await connection.send(TALK[: len(TALK) // 2])
            await until(connection, "speech_start")
            daemon.stop()
            assert (await until(connection, "transcript"))["text"]
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 1000

    run(work)


def test_one_who_stalls_in_the_handshake_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon:
            assert daemon.bound_tls is not None
            stalled = [await asyncio.open_connection(*daemon.bound_tls) for _ in range(20)]
            for _, writer in stalled[:10]:
                writer.write(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a hello
            async with client(daemon, tmp_path / "tls" / "ca.pem") as connection:
                assert await words(connection) == HEARD
            for _, writer in stalled:
                writer.close()

    run(work)


def test_one_who_does_not_speak_tls_is_hung_up_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon:
            assert daemon.bound_tls is not None
            reader, writer = await asyncio.open_connection(*daemon.bound_tls)
            writer.write(b"GET / HTTP/1.1\r\nhost: box\r\n\r\n")
            assert b"HTTP" not in await reader.read()
            writer.close()
            async with client(daemon, tmp_path / "tls" / "ca.pem") as connection:
                assert await words(connection) == HEARD

    run(work)


@pytest.mark.parametrize("damage", ["truncated", "no folder"])
def test_without_its_authority_the_box_serves_in_the_clear_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    if damage == "truncated":
        Authority(tmp_path / "tls").open()
        os.truncate(tmp_path / "tls" / "ca.key", 700)
    else:
        (tmp_path / "tls").write_text("in its place")

    async def work() -> None:
        async with box(fake(), **secure(tmp_path)) as daemon:
            assert daemon.bound_tls is None
            assert await serves(daemon)
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                assert (await web.get("/trust")).status_code == 404

    run(work)
    (message,) = [message for message in told(caplog) if "TLS" in message]
    assert message.startswith(f"TLS is off: {tmp_path / 'tls'}")


def test_own_files_serve_a_box(tmp_path: Path) -> None:
    certificate, key = issued(tmp_path / "elsewhere")

    async def work() -> None:
        async with box(fake(), **secure(tmp_path, certificate=str(certificate), key=str(key))) as daemon:
            async with client(daemon, tmp_path / "elsewhere" / "ca.pem") as connection:
                assert await words(connection) == HEARD
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                assert "certificate from elsewhere" in (await web.get("/trust")).text
                assert (await web.get("/trust/ca.pem")).status_code == 404
        assert not (tmp_path / "tls").exists()

    run(work)


def test_off_there_is_neither_a_listener_nor_an_authority(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), **secure(tmp_path, enabled=False)) as daemon:
            assert daemon.bound_tls is None
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                assert (await web.get("/trust")).status_code == 404
        assert not (tmp_path / "tls").exists()

    run(work)


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(
                ConfigError, match=rf"^tls: cannot listen on 127\.0\.0\.1:{port}: Address already in use"
            ):
                async with box(fake(), **secure(tmp_path, port=port)):
                    pass

    run(work)


def test_a_name_that_is_none_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(ConfigError, match=r"^tls\.names: 'https://box' is neither"):
            async with box(fake(), **secure(tmp_path, names=["https://box"])):
                pass

    run(work)
