"""Cartesia: the vendor's SDKs of both generations, both of its endpoints."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.box import kiosk, run
from tests.clients.application import Application
from tests.clients.client import KEYS, UNKNOWN, Client, each, key, streams
from tests.clients.material import BYTES, FIRST, SECOND, TELEPHONE, THIRD, recorded, understood
from tests.clients.sdks import CARTESIA, CARTESIA_2, CARTESIA_NODE, CARTESIA_NODE_2

DIALECT = "Cartesia"
PYTHON = Client(DIALECT, CARTESIA, "cartesia_manual.py", "http")
PYTHON_TLS = Client(DIALECT, CARTESIA, "cartesia_manual.py", "https")
PYTHON_AUTO = Client(DIALECT, CARTESIA, "cartesia_auto.py", "http")
PYTHON_2 = Client(DIALECT, CARTESIA_2, "cartesia_2.py", "ws")
PYTHON_2_TLS = Client(DIALECT, CARTESIA_2, "cartesia_2.py", "wss")
NODE = Client(DIALECT, CARTESIA_NODE, "cartesia.mjs", "http")
NODE_2 = Client(DIALECT, CARTESIA_NODE_2, "cartesia_2.mjs", "https")
MANUAL = PYTHON, NODE, PYTHON_2, NODE_2


def joined(heard: Application) -> str:
    """As the vendor says: the finals one after the other, nothing stripped, nothing put between."""
    return "".join(heard.texts("final"))


@each(MANUAL, "speech in real time: finals that join to the text, flush_done, done")
def test_manual(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND), pace=1)
        understood([joined(heard)], FIRST, SECOND)
        kinds = [line["event"] for line in heard.lines]
        assert kinds.count("flush_done") == 1
        assert kinds.count("done") == 1
        assert kinds.index("flush_done") < kinds.index("done")
        assert max(index for index, kind in enumerate(kinds) if kind == "final") < kinds.index("flush_done")
        times = [word for final in heard.all("final") for word in final["words"]]
        starts = [word["start"] if isinstance(word, dict) else word[1] for word in times]
        assert starts == sorted(starts)
        assert 3.0 < starts[-1] < 7.0

    run(work)


@each((PYTHON, NODE), "interim results while speaking")
def test_interims(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=1)
        assert len(heard.all("partial")) >= 3
        assert heard.lines.index(heard.all("partial")[0]) < heard.lines.index(heard.all("final")[0])

    run(work)


@each((PYTHON, NODE), "finalize in mid-stream, and on with the next")
def test_finalize(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), finalize_after=12)
        assert len(heard.all("final")) >= 2
        understood([joined(heard)], FIRST, errors=3)

    run(work)


@each((PYTHON,), "the asynchronous client; close without finalize")
def test_asynchronous(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), asynchronous=True)
        understood([joined(heard)], FIRST)
        assert len(heard.all("done")) == 1

    run(work)


@each((PYTHON_2,), "stt.websocket: send, then receive; transcribe; the asynchronous client")
@pytest.mark.parametrize("way", ["send and receive", "transcribe", "asynchronous"])
def test_ways_of_the_old_sdk(client: Client, way: str, tmp_path: Path) -> None:
    """The first two send the whole file before they read a word."""

    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, *[FIRST, SECOND, THIRD] * 3), way=way)
        understood([joined(heard)], *[FIRST, SECOND, THIRD] * 3, errors=5)
        assert len(heard.all("done")) == 1

    run(work)


@each((PYTHON, NODE), "every encoding")
@pytest.mark.parametrize("encoding", BYTES)
def test_encodings(client: Client, encoding: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            audio = recorded(tmp_path, SECOND, encoding=encoding)
            heard = await client.run(daemon, audio, encoding=encoding)
        understood([joined(heard)], SECOND)

    run(work)


@each((PYTHON,), "8, 24, 44.1 and 48 kHz")
@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_rates(client: Client, rate: int, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND, rate=rate), sample_rate=rate)
        understood([joined(heard)], SECOND)

    run(work)


@each((PYTHON,), "8, 24, 44.1 and 48 kHz")
def test_8_khz(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(kiosk()) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, TELEPHONE, rate=8_000), sample_rate=8_000)
        understood([joined(heard)], TELEPHONE, errors=0)

    run(work)


@each((PYTHON_2, NODE_2), "max_silence_duration_secs ends an utterance")
def test_silence(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        name = "max_silence_duration_secs"
        async with client.box() as daemon:
            audio = recorded(tmp_path, FIRST, SECOND, pause_s=1.0)
            short = await client.run(daemon, audio, pace=3, **{name: 0.4})
            long = await client.run(daemon, audio, pace=3, **{name: 3.0})
        assert len(short.all("final")) > len(long.all("final"))
        understood([joined(short)], FIRST, SECOND)
        understood([joined(long)], FIRST, SECOND)

    run(work)


@each((PYTHON,), "keyterm", "differs: checked, then without effect")
def test_keyterms(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), model="ink-2", keyterm=["city", "monday"])
        understood([joined(heard)], FIRST)
        assert not heard.all("error")

    run(work)


@each((PYTHON, NODE), "an encoding that is none", "refused: an error, then the end")
def test_bad_encoding(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=1, encoding="opus")
        (error,) = heard.all("error")
        assert error["status_code"] == 400
        assert "encoding" in error["text"]

    run(work)


@each((PYTHON_AUTO,), "auto finalize (turns): start, updates, end")
def test_turns(client: Client, tmp_path: Path) -> None:
    follow_turns(client, tmp_path, {})


@each((NODE,), "auto finalize (turns): start, updates, end")
def test_turns_with_node(client: Client, tmp_path: Path) -> None:
    follow_turns(client, tmp_path, {"auto": True})


def follow_turns(client: Client, folder: Path, options: dict[str, Any]) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(folder, FIRST, SECOND, pause_s=2.0), pace=1, **options)
        kinds = [line["event"] for line in heard.lines if line["event"] in KINDS]
        assert kinds[0] == "connected"
        turns = "".join({"turn.start": "(", "turn.update": ".", "turn.end": ")"}.get(kind, "") for kind in kinds)
        assert turns.replace(".", "") == "()()", turns
        assert turns.count(".") >= 4
        understood(heard.texts("turn.end"), FIRST, SECOND)
        said = ""
        for line in heard.lines:
            if line["event"] == "turn.update":
                assert line["text"].startswith(said), "updates only add"
                said = line["text"]
            elif line["event"] == "turn.start":
                said = ""

    run(work)


KINDS = ("connected", "turn.start", "turn.update", "turn.end")


@each((PYTHON, NODE), "access token, from this server")
def test_token(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=key(daemon), use_token=True)
        assert len(heard.texts("token")) == 1
        understood([joined(heard)], SECOND)

    run(work)


@each((NODE,), "loaded with require, which authenticates by header where import does by query")
def test_commonjs(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=key(daemon), commonjs=True)
        understood([joined(heard)], SECOND)

    run(work)


@each((PYTHON_TLS, PYTHON_2_TLS), "TLS with the box's own authority (SSL_CERT_FILE)")
def test_tls(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND))
        understood([joined(heard)], SECOND)

    run(work)


REFUSED = "refused: HTTP 401 before the connection, told by the SDK"


@each((PYTHON, PYTHON_2), "wrong key", REFUSED)
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    try_wrong_key(client, tmp_path, {})


@each((NODE,), "wrong key, loaded with require", REFUSED)
def test_wrong_key_with_ws(client: Client, tmp_path: Path) -> None:
    try_wrong_key(client, tmp_path, {"commonjs": True})


def try_wrong_key(client: Client, folder: Path, options: dict[str, Any]) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(folder, SECOND), pace=1, key=UNKNOWN, **options)
        assert any("401" in line["text"] for line in heard.lines if "text" in line), heard
        assert not heard.all("final")

    run(work)


@each((NODE,), "wrong key, loaded with import", "refused: the connection fails, with no reason told")
def test_wrong_key_with_the_own_websocket(client: Client, tmp_path: Path) -> None:
    """Node's own WebSocket hides the answer, as browsers' do."""

    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=1, key=UNKNOWN)
        assert heard.all("trouble")
        assert [closed["code"] for closed in heard.all("close")] == [1006]
        assert not heard.all("final")

    run(work)


@each((PYTHON, NODE, PYTHON_2), "a key whose seconds are used up", "refused: HTTP 402 before the connection")
def test_quota(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            poor = key(daemon, seconds=1.0)
            options = {"commonjs": True} if client is NODE else {}
            await client.run(daemon, recorded(tmp_path, FIRST), key=poor, **options)
            heard = await client.run(daemon, recorded(tmp_path, FIRST), key=poor, **options)
        assert any("402" in line["text"] for line in heard.lines if "text" in line), heard
        assert not heard.all("final")

    run(work)


@each((PYTHON, NODE), "the server stops: last words, then a close with 1001")
def test_server_stops(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            client.box() as daemon,
            client.running(daemon, recorded(tmp_path, FIRST, after_s=3.0), pace=1) as application,
        ):
            await application.until("partial", lambda line: len(line["text"].split()) >= 4)
            daemon.stop()
            heard = await application.ended()
        understood([joined(heard)], FIRST, errors=5)
        assert not heard.all("error")
        assert [line["code"] for line in heard.all("close")] == ([1001] if client is NODE else [])

    run(work)


@each((PYTHON, NODE), "the program is killed: its stream is freed")
def test_killed(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            async with client.running(daemon, recorded(tmp_path, FIRST), pace=1) as application:
                await application.until("partial")
                assert await streams(daemon) == 1
            async with asyncio.timeout(5):
                while await streams(daemon):
                    await asyncio.sleep(0.05)

    run(work)
