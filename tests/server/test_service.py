"""Health, readiness, the feeds, flushing, draining: over real sockets, with the fake engine."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.accounts.keys import Keys
from appliance.core.events import Cause, Final, Partial, Word
from appliance.engines.registry import ModelSpec
from appliance.server.feed import UNREAD, Feed, MicrophoneInfo
from tests.box import box, fake, run, url
from tests.server.test_bad_input import FAST, client, until
from tests.speech import silence, tone


def test_health_and_readiness() -> None:
    async def work() -> None:
        async with box(fake(), fake("hi"), **FAST) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            health = (await web.get("/healthz")).json()
            assert health["status"] == "alive"
            assert health["ready"] is True
            assert health["streams"] == 0
            ready = await web.get("/readyz")
            assert ready.status_code == 200
            assert {model["language"] for model in ready.json()["models"]} == {"en", "hi"}
            async with client(daemon) as connection:
                await until(connection, "connected")
                assert (await web.get("/healthz")).json()["streams"] == 1

    run(work)


@pytest.mark.parametrize(
    ("auth", "address", "allowed"),
    [
        ("keys", "127.0.0.1", True),
        ("keys", "::ffff:127.0.0.1", True),
        ("keys", "192.168.7.9", False),
        ("keys", "", False),
        ("open", "192.168.7.9", True),
    ],
)
def test_who_speaks_when_is_not_for_everybody_on_the_network(auth: str, address: str, allowed: bool) -> None:
    """Figures and details are for the box itself, for those with a key, and where none is asked for."""

    async def work() -> None:
        async with box(fake(), server={"auth": auth}) as daemon:
            asked = httpx.ASGITransport(daemon._service.app(), client=(address, 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=asked, base_url="http://localhost") as web:
                assert (await web.get("/metrics")).status_code == (200 if allowed else 401)
                health = (await web.get("/healthz")).json()
                assert health["ready"] is True
                assert ("text" in health) is allowed
                key = Keys(daemon.config.state_dir / "accounts").create("prometheus", now=1.7e9)[1]
                assert (await web.get("/metrics", headers={"authorization": f"Bearer {key}"})).status_code == 200

    run(work)


def test_not_ready_is_said_with_its_reason() -> None:
    """A daemon whose only model is broken stays alive and says why it cannot serve."""

    async def work() -> None:
        from appliance.config import load
        from appliance.daemon import Daemon
        from appliance.packs.selection import Selection

        gone = ModelSpec(name="gone", engine="vosk", language="en", path="/nonexistent")
        daemon = Daemon(load(None, {"server": {"port": 0}, "microphones": []}), Selection((gone,), "test"))  # type: ignore[dict-item]
        running = asyncio.create_task(daemon.run())
        while daemon.bound is None or not daemon.pool.broken:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=url(daemon)) as web:
            assert (await web.get("/healthz")).status_code == 200
            answer = await web.get("/readyz")
            assert answer.status_code == 503
            assert "/nonexistent" in answer.json()["reason"]
        with pytest.raises(InvalidStatus) as refused:
            async with client(daemon):
                pass
        assert refused.value.response.status_code == 503
        daemon.stop()
        await running

    run(work)


@pytest.mark.parametrize(
    ("codes", "language", "detected"),
    [
        ("hi-IN", "hi", None),
        ("HI-in", "hi", None),
        ("en-IN,hi-IN", "en", "en-IN"),
        ("ta-IN,hi-IN", "hi", "hi-IN"),
        ("en-hi-IN-latn", "en", None),
        ("en-hi-in-cm", "hi", None),
    ],
)
def test_language_codes_select_among_the_models(codes: str, language: str, detected: str | None) -> None:
    async def work() -> None:
        models = fake("en", words=("en",)), fake("hi", words=("hi",))
        async with box(*models, **FAST) as daemon, client(daemon, lang_code=codes) as connection:
            await connection.send(tone(0.2) + silence(0.8))
            message = await until(connection, "transcript")
            assert message["text"] == language
            assert message.get("detected_language") == detected

    run(work)


def test_frames_that_stop_are_flushed() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await connection.send(tone(1.3))
            assert (await until(connection, "transcript"))["text"] == "one two three four"
            await connection.send(tone(0.7))
            second = await until(connection, "transcript")
            assert (second["text"], second["segment_index"]) == ("one two", "1")

    run(work)


def test_stopping_gives_clients_their_last_words_and_a_proper_close() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, client(daemon) as connection:
            await until(connection, "connected")
            await connection.send(tone(1.0))
            await until(connection, "speech_start")
            daemon.stop()
            assert (await until(connection, "transcript"))["text"] == "one two three"
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 1000

    run(work)


def test_the_native_protocol() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            query = "key=any&mode=manual&partial_ms=300&encoding=pcm_mulaw&rate=8000"
            async with connect(url(daemon, "ws") + f"/v1/stream?{query}") as socket:
                assert json.loads(await socket.recv())["type"] == "begin"
                await socket.send((b"\x80" * 10 + b"\x00" * 10) * 400)  # a second of a loud square wave
                await socket.send('{"type": "commit"}')
                events = [json.loads(await socket.recv())]
                while events[-1]["type"] != "committed":
                    events.append(json.loads(await socket.recv()))
                final = events[-2]
                assert final["type"] == "final"
                assert final["text"] == "one two three"
                assert final["words"][0]["start"] == pytest.approx(0, abs=0.05)
                assert 0.9 <= final["end"] <= 1.0
                assert any(event["type"] == "partial" for event in events)
                await socket.send('{"type": "finish"}')
                assert json.loads(await socket.recv())["type"] == "closed"
                with pytest.raises(ConnectionClosed):
                    await socket.recv()

    run(work)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("rate=123", "rate is one of"),
        ("encoding=mp3", "encoding"),
        ("colour=red", "colour"),
        ("longest_ms=x", "longest_ms"),
    ],
)
def test_the_native_protocol_names_what_is_wrong(query: str, words: str) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url(daemon, "ws") + f"/v1/stream?key=any&{query}"):
                    pass
            assert refused.value.response.status_code == 400
            assert words in json.loads(refused.value.response.body or b"")["message"]

    run(work)


def test_feeds_are_not_for_foreign_pages_nor_unknown_names() -> None:
    async def work() -> None:
        async with box(fake(), **FAST, microphones=[{"name": "desk", "device": "no such card"}]) as daemon:
            async with httpx.AsyncClient(base_url=url(daemon)) as web:
                (microphone,) = (await web.get("/v1/microphones")).json()["microphones"]
                assert microphone["name"] == "desk"
                bad = await web.get("/v1/microphones", headers={"origin": "https://evil.example"})
                assert bad.status_code == 403
                rebound = {"origin": "http://evil.example", "host": "evil.example"}
                assert (await web.get("/v1/microphones", headers=rebound)).status_code == 403
            for path, headers, status in (
                ("attic", {}, 404),
                ("desk", {"origin": "https://evil.example"}, 403),
            ):
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(url(daemon, "ws") + f"/v1/microphones/{path}", additional_headers=headers):
                        pass
                assert refused.value.response.status_code == status
            async with connect(url(daemon, "ws") + "/v1/microphones/desk") as socket:
                first = json.loads(await socket.recv())
                assert (first["type"], first["name"]) == ("microphone", "desk")

    run(work)


def test_a_feed_ends_with_its_key() -> None:
    """Whoever was shut out hears nothing of what is said from then on."""

    async def work() -> None:
        microphone = {"name": "desk", "device": "no such card"}
        async with box(fake(), server={"auth": "keys"}, microphones=[microphone]) as daemon:
            keys, feed = Keys(daemon.config.state_dir / "accounts"), daemon._service._feeds["desk"]
            made, text = keys.create("tablet", now=time.time(), microphones=True)
            async with connect(f"{url(daemon, 'ws')}/v1/microphones/desk?key={text}") as socket:
                assert json.loads(await socket.recv())["type"] == "microphone"
                feed.publish(Partial(0, "heard", (), 0, 0, 100))
                while json.loads(await socket.recv())["type"] != "partial":
                    pass
                keys.revoke(made.id)
                daemon.accounts._looked = 0.0  # a second later
                feed.publish(Partial(0, "not heard", (), 0, 0, 200))
                with pytest.raises(ConnectionClosed) as closed:
                    while "not heard" not in str(await socket.recv()):
                        pass
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008

    run(work)


def test_feed_of_a_key_without_the_right_is_refused() -> None:
    async def work() -> None:
        microphone = {"name": "desk", "device": "no such card"}
        async with box(fake(), server={"auth": "keys"}, microphones=[microphone], **FAST) as daemon:
            keys = Keys(daemon.config.state_dir / "accounts")
            for limits in ({}, {"streaming": False}, {"admin": True}):
                made, text = keys.create("tablet", now=time.time(), **limits)
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(f"{url(daemon, 'ws')}/v1/microphones/desk?key={text}"):
                        pass
                assert refused.value.response.status_code == 403
                told = json.loads(refused.value.response.body or b"")["error"]
                assert f"appliance keys set {made.id} --microphones" in told
                assert text not in told
                async with httpx.AsyncClient(base_url=url(daemon)) as web:
                    held = {"authorization": f"Bearer {text}"}
                    assert (await web.get("/v1/microphones", headers=held)).status_code == 403
                    assert (await web.get("/metrics", headers=held)).status_code == 200
                    keys.change(made.id, microphones=True)
                    assert (await web.get("/v1/microphones", headers=held)).status_code == 200
            assert daemon._service.sessions.refusals.counts["microphones", "not_allowed"] == 6

    run(work)


def test_feed_ends_when_its_key_loses_the_right() -> None:
    async def work() -> None:
        microphone = {"name": "desk", "device": "no such card"}
        async with box(fake(), server={"auth": "keys"}, microphones=[microphone], **FAST) as daemon:
            keys, feed = Keys(daemon.config.state_dir / "accounts"), daemon._service._feeds["desk"]
            made, text = keys.create("tablet", now=time.time(), microphones=True)
            async with connect(f"{url(daemon, 'ws')}/v1/microphones/desk?key={text}") as socket:
                assert json.loads(await socket.recv())["type"] == "microphone"
                keys.change(made.id, microphones=False)
                daemon.accounts._looked = 0.0  # a second later
                feed.publish(Partial(0, "not heard", (), 0, 0, 200))
                with pytest.raises(ConnectionClosed) as closed:
                    while "not heard" not in str(await socket.recv()):
                        pass
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008

    run(work)


def test_feed_of_an_anonymous_account_is_served() -> None:
    """With ``auth = "open"`` any text is a key, and the operator has opened the device to the network."""

    async def work() -> None:
        microphone = {"name": "desk", "device": "no such card"}
        server = {"auth": "open", "host": "0.0.0.0"}
        async with box(fake(), server=server, microphones=[microphone], discovery={"enabled": False}) as daemon:
            assert daemon.bound is not None
            text = Keys(daemon.config.state_dir / "accounts").create("tablet", now=time.time())[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{daemon.bound[1]}") as web:
                for key, status in (("any", 200), (text, 403)):
                    held = {"authorization": f"Bearer {key}"}
                    assert (await web.get("/v1/microphones", headers=held)).status_code == status

    run(work)


class _Slow:
    """A subscriber's socket that never finishes a send."""

    def __init__(self) -> None:
        self.closed: tuple[int, str] | None = None

    async def accept(self) -> None: ...

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send_text(self, text: str) -> None:
        await asyncio.Event().wait()

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


def test_a_slow_subscriber_is_dropped_and_not_waited_for() -> None:
    info = MicrophoneInfo(name="m", device="d", state="ready", reason="", rate=16_000, language="en", overruns=0)
    final = Final(0, "word", (Word("word", 0, 16_000, 1.0),), 1.0, "en", 0, 16_000, Cause.SILENCE)

    async def work() -> None:
        feed = Feed(lambda: info)
        serving = asyncio.create_task(feed.serve(_Slow()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        while not feed._subscribers:
            await asyncio.sleep(0)
        for _ in range(UNREAD):
            feed.publish(final)
            feed.publish(Partial(0, "wo", (), 0, 0, 100))
        assert feed.dropped <= 1
        feed.publish(final)
        feed.publish(final)
        assert feed.dropped == 1
        assert not feed._subscribers
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    run(work)
