"""What outlives a socket, who may come in, and what is told before a session ends: over a real socket."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.accounts.keys import Keys
from appliance.bench.costumes import COSTUMES, Costume
from appliance.bench.dialects import dialled
from appliance.config import ConfigError
from appliance.daemon import Daemon
from appliance.scheduling.live import LiveSession
from appliance.server.conversation import Conversation
from tests.box import box, fake, run, url
from tests.speech import silence, tone

FAST: dict[str, Any] = {"recognizer": {"detector": "energy"}}
V2 = "/v2/realtime/ws"
OPEN = f"{V2}?sample_rate=16000"
NATIVE = "/v1/stream?key=any&min_speech_ms=32&silence_to_end_ms=300&hangover_ms=96&threshold=0.5"
NOW = 1.7e9
SAYING = tone(0.7) + silence(0.9)
"""Ends with a final in every dialect."""


@asynccontextmanager
async def client(daemon: Daemon, path: str = OPEN, key: str = "any") -> AsyncIterator[ClientConnection]:
    headers = {"authorization": key} if key else {}
    async with connect(url(daemon, "ws") + path, additional_headers=headers, compression=None) as socket:
        yield socket


async def until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind."""
    async for text in socket:
        message: dict[str, Any] = json.loads(text)
        if kind in (message.get("message_type"), message.get("type")):
            return message
    raise AssertionError(f"closed with {socket.close_code} before {kind}")


async def ended(socket: ClientConnection) -> tuple[int | None, list[dict[str, Any]]]:
    """The close code and what was said before."""
    said = []
    try:
        async for text in socket:
            said.append(json.loads(text))
    except ConnectionClosed:
        pass
    return socket.close_code, said


async def closed_with(daemon: Daemon, path: str, key: str = "any") -> int | None:
    async with client(daemon, path, key) as socket:
        return (await ended(socket))[0]


def resumed(begun: dict[str, Any]) -> str:
    return f"{V2}/{begun['session_id']}"


def test_a_session_goes_on_in_another_socket_and_its_finals_are_kept() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with client(daemon) as socket:
                begun = await until(socket, "SessionBegins")
                await socket.send(SAYING)
                first = await until(socket, "FinalTranscript")
                await socket.send(SAYING)
                socket.transport.abort()
            while daemon._service.sessions._live[begun["session_id"]].attached:
                await asyncio.sleep(0.01)
            while daemon.pool.sessions[1].backlog_s:
                await asyncio.sleep(0.01)
            async with client(daemon, resumed(begun)) as socket:
                again = await until(socket, "SessionBegins")
                assert again["session_id"] == begun["session_id"]
                assert again["expires_at"] == begun["expires_at"]
                second = await until(socket, "FinalTranscript")
                assert second["audio_start"] >= first["audio_end"]
                await socket.send(SAYING)
                third = await until(socket, "FinalTranscript")
                assert third["audio_start"] >= second["audio_end"]
                await socket.send('{"terminate_session": true}')
                code, said = await ended(socket)
                assert (code, said[-1]["message_type"]) == (1000, "SessionTerminated")
            assert await closed_with(daemon, resumed(begun)) == 4010

    run(work)


def test_what_was_sent_but_not_heard_back_from_is_told_again() -> None:
    """A socket may be dead long before anyone notices: what it was sent since the client was last heard is repeated."""

    async def work() -> None:
        soon = {"assemblyai_v2": {"takeover_s": 0.2}}
        async with box(fake(), **FAST, limits=soon) as daemon, client(daemon) as dead:
            begun = await until(dead, "SessionBegins")
            await dead.send(SAYING)
            final = await until(dead, "FinalTranscript")
            await asyncio.sleep(0.3)
            async with client(daemon, resumed(begun)) as socket:
                await until(socket, "SessionBegins")
                assert (await until(socket, "FinalTranscript")) == final
                assert (await ended(dead))[0] == 4103
                await socket.send(SAYING)
                assert (await until(socket, "FinalTranscript")) != final

    run(work)


def test_one_socket_at_a_time() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as socket:
            begun = await until(socket, "SessionBegins")
            assert await closed_with(daemon, resumed(begun)) == 4030
            await socket.send(SAYING)
            assert (await until(socket, "FinalTranscript"))["text"]

    run(work)


def test_what_became_of_a_session_is_remembered() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, limits={"assemblyai_v2": {"resume_s": 0.1}}) as daemon:
            assert await closed_with(daemon, f"{V2}/2f1d3c2e-0000-4000-8000-000000000000") == 4004
            async with client(daemon) as socket:
                begun = await until(socket, "SessionBegins")
            while daemon.pool.sessions:
                await asyncio.sleep(0.02)
            assert await closed_with(daemon, resumed(begun)) == 4008

    run(work)


def test_another_client_cannot_take_a_session() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            async with client(daemon, key="mine") as socket:
                begun = await until(socket, "SessionBegins")
            assert await closed_with(daemon, resumed(begun), "yours") == 4001
            assert await closed_with(daemon, resumed(begun), "") == 4001
            async with client(daemon, resumed(begun), "mine") as socket:
                assert (await until(socket, "SessionBegins"))["session_id"] == begun["session_id"]

    run(work)


def test_a_session_whose_client_is_away_gives_way() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, scheduling={"streams": 1}) as daemon:
            async with client(daemon) as socket:
                begun = await until(socket, "SessionBegins")
            async with client(daemon) as socket:
                await until(socket, "SessionBegins")
                assert await closed_with(daemon, resumed(begun)) == 4008
                async with client(daemon) as third:
                    code, said = await ended(third)
                    assert said == [] or "message_type" not in said[0]
                    assert code is not None
                    assert code != 1000

    run(work)


def test_quota_streams_and_terms_are_kept() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, server={"auth": "keys"}) as daemon:
            keys = Keys(daemon.config.state_dir / "accounts")
            short, shown = keys.create("short", now=NOW, seconds=2.0)
            _, single = keys.create("single", now=NOW, streams=1)
            _, plain = keys.create("plain", now=NOW, streaming=False)
            _, strict = keys.create("strict", now=NOW, terms=False)
            assert await closed_with(daemon, OPEN, "nobody's") == 4001
            assert await closed_with(daemon, OPEN, plain) == 4003
            assert await closed_with(daemon, OPEN, strict) == 4003
            async with client(daemon, key=single) as socket:
                await until(socket, "SessionBegins")
                assert await closed_with(daemon, OPEN, single) == 4102
            async with client(daemon, key=shown) as socket:
                await until(socket, "SessionBegins")
                await socket.send(tone(1.0))
                await socket.send(tone(1.5))
                code, said = await ended(socket)
                finals = [message for message in said if message.get("message_type") == "FinalTranscript"]
                assert code == 4002
                assert finals, "what was heard is told before"
            assert await closed_with(daemon, OPEN, shown) == 4002
            keys.revoke(short.id)
            assert await closed_with(daemon, OPEN, shown) == 4001

    run(work)


def test_what_was_heard_is_told_before_an_error_closes() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon, NATIVE) as socket:
            await socket.send(tone(0.7))
            await socket.send("nonsense")
            code, said = await ended(socket)
            assert code == 1008
            assert [message["type"] for message in said][-2:] == ["final", "error"]

    run(work)


def test_limits_are_the_owners() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, limits={"assemblyai_v2": {"idle_s": 0.3}}) as daemon, client(daemon) as socket:
            await until(socket, "SessionBegins")
            await socket.send(tone(0.7))
            code, said = await ended(socket)
            assert code == 4031
            assert any(message.get("message_type") == "FinalTranscript" for message in said)

    run(work)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"somebody": {}}, "limits.somebody: there is no such dialect"),
        ({"gnani": {"patience_s": 1}}, "limits.gnani: .*patience_s"),
    ],
)
def test_limits_that_do_not_exist(limits: dict[str, Any], complaint: str) -> None:
    async def work() -> None:
        with pytest.raises(ConfigError, match=complaint):
            async with box(fake(), limits=limits):
                pass

    run(work)


def test_a_recogniser_that_cannot_keep_up_is_told_not_waited_for() -> None:
    """A client in real time whose audio piles up: a silent stall would lose its words without a word."""

    async def work() -> None:
        slow = {"scheduling": {"inbox_s": 0.5, "window_s": 0.25, "hang_s": 600.0}}
        async with box(fake(hang_on=7_777), **FAST, **slow) as daemon, client(daemon, NATIVE) as socket:
            await socket.send(tone(0.3, marker=7_777))
            listening = asyncio.create_task(ended(socket))
            while not listening.done():
                await socket.send(tone(0.1))
                await asyncio.sleep(0.1)
            code, said = await listening
            assert code == 1008
            assert said[-1]["error"] == "queue_overflow"

    run(work)


def test_failed_attempts_are_answered_ever_later() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, server={"auth": "keys"}) as daemon:
            _, good = Keys(daemon.config.state_dir / "accounts").create("good", now=NOW)
            loop = asyncio.get_running_loop()
            for _ in range(4):
                began = loop.time()
                with pytest.raises(InvalidStatus):
                    async with client(daemon, "/v1/stream", "guess"):
                        pass
            assert loop.time() - began >= 0.5
            began = loop.time()
            async with client(daemon, "/v1/stream", good) as socket:
                await until(socket, "begin")
            assert loop.time() - began < 0.5

    run(work)


def test_a_key_with_one_stream_can_come_back_without_resuming() -> None:
    """A page that is loaded anew opens anew: the session it left gives way."""

    async def work() -> None:
        async with box(fake(), **FAST, server={"auth": "keys"}) as daemon:
            _, single = Keys(daemon.config.state_dir / "accounts").create("single", now=NOW, streams=1)
            async with client(daemon, key=single) as socket:
                begun = await until(socket, "SessionBegins")
            async with client(daemon, key=single) as socket:
                assert (await until(socket, "SessionBegins"))["session_id"] != begun["session_id"]
            assert await closed_with(daemon, resumed(begun), single) == 4008

    run(work)


def test_what_ended_a_session_while_its_client_was_away_is_told_when_it_comes_back() -> None:
    async def work() -> None:
        async with box(fake(crash_on=7_777), **FAST) as daemon:
            async with client(daemon) as socket:
                begun = await until(socket, "SessionBegins")
                await socket.send(SAYING)
                await until(socket, "FinalTranscript")
                await socket.send(SAYING)
                await socket.send(tone(0.5, marker=7_777))
            while daemon.pool.sessions:
                await asyncio.sleep(0.02)
            async with client(daemon, resumed(begun)) as socket:
                code, said = await ended(socket)
                kinds = [message.get("message_type", "error") for message in said]
                assert (code, kinds[0], kinds[-1]) == (1011, "SessionBegins", "error")
                assert "FinalTranscript" in kinds
            async with client(daemon) as socket:
                await until(socket, "SessionBegins")

    run(work)


def test_a_key_that_was_offered_but_never_counted_resumes_nothing() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, server={"auth": "keys"}) as daemon:
            _, good = Keys(daemon.config.state_dir / "accounts").create("good", now=NOW)
            async with client(daemon, f"{OPEN}&token=undefined", good) as socket:
                code, said = await ended_or_begun(socket)
            if code is None:
                assert await closed_with(daemon, f"{V2}/{said['session_id']}?token=undefined", "") == 4001

    run(work)


async def ended_or_begun(socket: ClientConnection) -> tuple[int | None, dict[str, Any]]:
    first: dict[str, Any] = json.loads(await socket.recv())
    return (None, first) if first.get("message_type") == "SessionBegins" else (await ended(socket))[0], first


def test_a_client_that_waits_for_its_answer_is_not_idle() -> None:
    """All audio at once, then silence, while the recogniser still works on it."""

    async def work() -> None:
        tables = {**FAST, "limits": {"native": {"idle_s": 0.3}}, "scheduling": {"hang_s": 2.0}}
        async with box(fake(hang_on=7_777), **tables) as daemon, client(daemon, NATIVE) as socket:
            await socket.send(tone(1.0, marker=7_777) + silence(1.0))
            await socket.send('{"type": "commit"}')
            listening = asyncio.create_task(ended(socket))
            await asyncio.sleep(1.2)
            assert not listening.done()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    run(work)


def test_a_flood_of_commands_is_made_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.scheduling.live.ENTRIES", 500)

    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon, NATIVE) as socket:
            reading = asyncio.create_task(ended(socket))
            for _ in range(5_000):
                await socket.send('{"type": "commit"}')
                (session,) = daemon.pool.sessions.values()
                assert session.journal.entries <= 510
            await socket.send('{"type": "finish"}')
            _, said = await reading
            assert sum(message["type"] == "committed" for message in said) == 5_000

    run(work)


def test_a_quota_is_not_overdrawn_by_one_message() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, server={"auth": "keys"}) as daemon:
            _, shown = Keys(daemon.config.state_dir / "accounts").create("short", now=NOW, seconds=1.0)
            async with client(daemon, "/v1/stream", shown) as socket:
                await until(socket, "begin")
                await socket.send((tone(0.7) + silence(0.9)) * 20)
                _, said = await ended(socket)
                assert [message["type"] for message in said] == ["error"]

    run(work)


def test_who_waits_for_the_end_of_a_session_that_fails_is_told_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """AssemblyAI's Python SDK waits for SessionTerminated for ever."""
    monkeypatch.setattr("appliance.server.conversation.LAST_WORDS_S", 0.5)

    async def work() -> None:
        async with box(fake(hang_on=7_777), **FAST, server={"auth": "keys"}) as daemon:
            _, shown = Keys(daemon.config.state_dir / "accounts").create("short", now=NOW, seconds=1.0)
            async with client(daemon, key=shown) as socket:
                await socket.send(tone(0.7, marker=7_777))
                await socket.send(tone(1.0))
                await socket.send('{"terminate_session": true}')
                code, said = await ended(socket)
                assert code == 4002
                assert "error" in said[-2]
                assert said[-1]["message_type"] == "SessionTerminated"

    run(work)


@pytest.mark.parametrize("leaves", ["after its last words", "in mid-word", "without a word"])
def test_a_session_that_is_over_is_no_work_for_the_garbage_collector(leaves: str) -> None:
    """Each has some 6 KiB in pieces that the C library keeps apart. Until they are collected, which may take minutes,
    others come to lie between them, and the daemon's memory grows (docs/performance.md)."""

    async def visit(daemon: Daemon, costume: Costume) -> None:
        async with dialled(url(daemon), costume) as socket:
            for message in costume.first:
                await socket.send(message)
            await socket.send(costume.wrap(SAYING))
            if leaves == "without a word":
                socket.transport.abort()
            elif leaves == "after its last words" and costume.last:
                for message in costume.last:
                    await socket.send(message)
                await ended(socket)

    async def work() -> None:
        async with box(**FAST) as daemon:
            for costume in COSTUMES:
                await visit(daemon, costume)
            opened.append(daemon.pool.opened)

    opened: list[int] = []
    kept = (Conversation, LiveSession)
    gc.disable()
    try:
        run(work)
        left = Counter(type(one).__name__ for one in gc.get_objects() if type(one) in kept)
    finally:
        gc.enable()
    assert opened == [len(COSTUMES)]
    assert not left
