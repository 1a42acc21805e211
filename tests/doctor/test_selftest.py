"""What counts as right, wrong and not tested; and the real thing against a whole daemon."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from appliance import canary
from appliance.core.problems import Kind
from appliance.doctor.selftest import Answer, expected, judge, play
from appliance.scheduling.figures import Figure
from tests.box import box, fake, kiosk, run, url

PHRASE = canary.load()


@pytest.mark.parametrize(
    ("answer", "wanted", "good", "words"),
    [
        (
            Answer(model="m", text="six seven", delay_s=0.91),
            "six seven",
            True,
            "good: m wrote 'six seven', 0.91 s after",
        ),
        (Answer(model="m", text="six heaven"), "six seven", False, "'six heaven' and not 'six seven'"),
        (Answer(model="m", text=""), "six seven", False, "wrote '' and not"),
        (Answer(model="m", text="", delay_s=None), None, False, "wrote nothing"),
        (Answer(model="m", language="de", text="sechs"), None, True, "not compared"),
        (Answer(refused=Kind.TOO_MANY_STREAMS, problem="8 are open"), None, True, "busy, not tested: 8 are open"),
        (Answer(refused=Kind.SHUTTING_DOWN, problem="stopping"), None, True, "not tested"),
        (Answer(refused=Kind.RATE_LIMITED, problem="slowly"), None, False, "failed: slowly"),
        (Answer(refused=Kind.BAD_KEY, problem="not a key"), None, False, "failed: not a key"),
        (Answer(text="six seven", problem="no answer"), "six seven", False, "failed: no answer"),
    ],
)
def test_the_verdict(answer: Answer, wanted: str | None, good: bool, words: str) -> None:
    verdict = judge(answer, wanted)
    assert verdict.good is good
    assert words in verdict.line
    assert "\n" not in verdict.line


@pytest.mark.parametrize(
    ("language", "heard", "wanted"),
    [("en", None, PHRASE.text), ("en", "", PHRASE.text), ("en", "sick seven", "sick seven"), ("de", None, None),
     ("de", "sechs", "sechs")],
)  # fmt: skip
def test_what_is_expected(language: str, heard: str | None, wanted: str | None) -> None:
    kept = {} if heard is None else {"m": Figure(fingerprint="", cost=0.1, heard=heard)}
    assert expected(Answer(model="m", language=language), PHRASE, kept) == wanted


def test_a_daemon_that_hears() -> None:
    async def work() -> None:
        async with box(kiosk()) as daemon:
            answer = await play(url(daemon), "any", PHRASE, 10.0)
            assert answer.problem == ""
            assert (answer.model, answer.language, answer.text) == ("kiosk-words", "en", PHRASE.text)
            assert answer.delay_s is not None
            assert 0.5 < answer.delay_s < 5

    run(work)


def test_a_daemon_that_is_full_and_one_that_wants_a_key() -> None:
    async def work() -> None:
        async with box(fake(), scheduling={"streams": 1}) as daemon:
            first = asyncio.create_task(play(url(daemon), "any", PHRASE, 5.0))
            await asyncio.sleep(1.0)
            assert (await play(url(daemon), "any", PHRASE, 5.0)).refused == Kind.TOO_MANY_STREAMS
            await first
        async with box(fake(), server={"auth": "keys"}) as daemon:
            assert (await play(url(daemon), "wrong", PHRASE, 5.0)).refused == Kind.BAD_KEY

    run(work)


def test_no_proxy_gets_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    async def work() -> None:
        async with box(fake(), server={"auth": "keys"}) as daemon:
            assert (await play(url(daemon), "wrong", PHRASE, 5.0)).refused == Kind.BAD_KEY

    run(work)


@pytest.mark.parametrize("said", ["{}", "[]", "5", '{"type": "final", "text": 5}', "\x00", '{"a": ' + "[" * 9999])
def test_a_stranger_at_the_port(said: str) -> None:
    async def work() -> None:
        async def answer(socket: ServerConnection) -> None:
            await socket.send(said)
            await socket.wait_closed()

        async with serve(answer, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            found = await play(f"http://127.0.0.1:{port}", "any", PHRASE, 5.0)
        assert f"127.0.0.1:{port}: " in found.problem
        assert not judge(found, None).good

    run(work)


def test_nobody_there() -> None:
    answer = asyncio.run(play("http://127.0.0.1:9", "any", PHRASE, 1.0))
    assert "127.0.0.1:9" in answer.problem
    assert not judge(answer, None).good
