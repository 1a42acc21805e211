"""AssemblyAI v3 (Universal-Streaming): the vendor's Python and Node SDKs, with their own deadlines.

They wait 1 s for the beginning and 5 s for the end, which is why whole files are short here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.box import kiosk, run
from tests.clients.application import Application
from tests.clients.client import KEYS, UNKNOWN, Client, each, key, streams
from tests.clients.material import DIGITS, FIRST, NUMBER, SECOND, TELEPHONE, recorded, understood, words
from tests.clients.sdks import ASSEMBLYAI, ASSEMBLYAI_NODE

DIALECT = "AssemblyAI v3"
PYTHON = Client(DIALECT, ASSEMBLYAI, "assemblyai_v3.py", "ws")
PYTHON_TLS = Client(DIALECT, ASSEMBLYAI, "assemblyai_v3.py", "wss")
NODE = Client(DIALECT, ASSEMBLYAI_NODE, "assemblyai_v3.mjs", "https")
BOTH = PYTHON, NODE


def ended(heard: Application) -> list[str]:
    """The texts of the turns as they were when they ended, unformatted where both came."""
    last = {turn["order"]: turn["text"] for turn in reversed(heard.all("turn")) if turn["end"]}
    return [last[order] for order in sorted(last)]


@each(BOTH, "speech in real time: turns that grow, final words, word times")
def test_turns(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=2.0), pace=1)
        assert len(heard.all("begin")) == 1
        turns = heard.all("turn")
        assert {turn["order"] for turn in turns} == {0, 1}
        assert [turn["order"] for turn in turns] == sorted(turn["order"] for turn in turns)
        assert len([turn for turn in turns if not turn["end"]]) >= 4
        for text, sentence in zip(ended(heard), (FIRST, SECOND), strict=True):
            understood([text], sentence)
        assert not any(turn["formatted"] for turn in turns)
        for turn in turns:
            times = [_times(word) for word in turn["words"]]
            assert all(start <= end for start, end, _ in times)
            assert [start for start, _, _ in times] == sorted(start for start, _, _ in times)
            final = [word for word, (_, _, final) in zip(turn["words"], times, strict=True) if final]
            assert len(final) >= len(words([turn["text"]])) - 1
        assert not heard.all("error")

    run(work)


def _times(word: Any) -> tuple[int, int, bool]:
    if isinstance(word, dict):
        return word["start"], word["end"], word["word_is_final"]
    return word[1], word[2], word[4]


@each(BOTH, "a whole file as fast as it can be sent")
def test_whole_file(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=2.0, after_s=0.1))
        understood(ended(heard), FIRST, SECOND)
        assert not heard.all("error")

    run(work)


@each((PYTHON,), "Termination tells how much was heard")
def test_termination(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        audio = recorded(tmp_path, SECOND)
        async with client.box() as daemon:
            heard = await client.run(daemon, audio)
        (termination,) = heard.all("termination")
        assert termination["audio"] == pytest.approx(audio.path.stat().st_size / 32_000, abs=1.0)

    run(work)


@each(BOTH, "format_turns: the same turn again", "differs: numbers in digits, but no capitals and no punctuation")
def test_format_turns(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, NUMBER), format_turns=True)
        formatted = [turn for turn in heard.all("turn") if turn["formatted"]]
        assert [turn["end"] for turn in formatted] == [True]
        understood([formatted[0]["text"]], DIGITS)
        assert len(ended(heard)) == 1

    run(work)


@each(BOTH, "force_endpoint")
def test_force(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), force_after=12)
        assert len(ended(heard)) == 2
        understood(ended(heard), FIRST, errors=3)

    run(work)


@each(BOTH, "silence that ends a turn: as a parameter and changed in mid-stream")
@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({"end_of_turn_confidence_threshold": 1.0, "max_turn_silence": 2_000}, 1),
        ({"end_of_turn_confidence_threshold": 1.0, "max_turn_silence": 500}, 2),
        (
            {
                "end_of_turn_confidence_threshold": 1.0,
                "max_turn_silence": 2_000,
                "params_after": 2,
                "new_params": {"max_turn_silence": 500},
            },
            2,
        ),
    ],
    ids=["long", "short", "changed"],
)
def test_silence(client: Client, options: dict[str, Any], turns: int, tmp_path: Path) -> None:
    if client is NODE and "new_params" in options:
        options = {**options, "new_params": {"max_turn_silence": 500}}

    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=1.0), pace=3, **options)
        assert len(ended(heard)) == turns
        understood(ended(heard), FIRST, SECOND, errors=2)

    run(work)


@each(BOTH, "keyterms_prompt, speaker_labels, filter_profanity", "differs: without effect, told in a Warning")
@pytest.mark.parametrize(
    "options", [{"keyterms_prompt": ["city", "monday"]}, {"speaker_labels": True}, {"filter_profanity": True}], ids=str
)
def test_without_effect(client: Client, options: dict[str, Any], tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), **options)
        understood(ended(heard), FIRST)
        (warning,) = heard.all("warning")
        assert next(iter(options)) in warning["text"]

    run(work)


@each(BOTH, "redact_pii", "refused: error 3006, with the reason")
def test_redaction(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=1, redact_pii=True)
        troubles = heard.all("error") + heard.all("refused")
        assert {trouble["code"] for trouble in troubles} == {3006}, heard
        assert not heard.all("turn")

    run(work)


@each(BOTH, "8 kHz mu-law")
def test_mulaw(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        audio = recorded(tmp_path, TELEPHONE, rate=8_000, encoding="pcm_mulaw")
        async with client.box(kiosk()) as daemon:
            heard = await client.run(daemon, audio, sample_rate=8_000, encoding="pcm_mulaw")
        understood(ended(heard), TELEPHONE, errors=0)

    run(work)


@each((PYTHON_TLS, NODE), "temporary token, from this server, for one session")
def test_token(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), key=key(daemon), use_token=True)
            assert len(heard.texts("token")) == 1
            understood(ended(heard), SECOND)

    run(work)


@each((PYTHON_TLS,), "TLS with the box's own authority (SSL_CERT_FILE)")
def test_tls(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND))
        understood(ended(heard), SECOND)

    run(work)


@each(BOTH, "wrong key", "refused: error 1008, with the reason")
def test_wrong_key(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, SECOND), pace=1, key=UNKNOWN)
        troubles = heard.all("error") + heard.all("refused")
        assert {trouble.get("code") for trouble in troubles} == {1008}, heard
        assert not heard.all("turn")

    run(work)


@each(BOTH, "a key whose seconds are used up, in mid-stream and before", "refused: error 1008, with the reason")
def test_quota(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(server=KEYS) as daemon:
            poor = key(daemon, seconds=2.0)
            heard = await client.run(daemon, recorded(tmp_path, FIRST), pace=2, key=poor)
            assert heard.all("turn")
            assert {error["code"] for error in heard.all("error")} == {1008}, heard
            heard = await client.run(daemon, recorded(tmp_path, FIRST), key=poor)
        assert {trouble["code"] for trouble in heard.all("error") + heard.all("refused")} == {1008}, heard
        assert not heard.all("turn")

    run(work)


@each(BOTH, "the server stops: last words, then error 3005 with the reason")
def test_server_stops(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            client.box() as daemon,
            client.running(daemon, recorded(tmp_path, FIRST, after_s=3.0), pace=1) as application,
        ):
            await application.until("turn", lambda line: len(line["text"].split()) >= 4)
            daemon.stop()
            heard = await application.ended()
        understood(ended(heard), FIRST, errors=5)
        assert [error["code"] for error in heard.all("error")] == [3005], heard

    run(work)


@each((PYTHON,), "disconnect without terminate: its stream is freed")
def test_disconnect(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST), leave=True)
            assert not heard.all("error")
            async with asyncio.timeout(5):
                while await streams(daemon):
                    await asyncio.sleep(0.05)

    run(work)


@each(BOTH, "the program is killed: its stream is freed")
def test_killed(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            async with client.running(daemon, recorded(tmp_path, FIRST), pace=1) as application:
                await application.until("begin")
                assert await streams(daemon) == 1
            async with asyncio.timeout(5):
                while await streams(daemon):
                    await asyncio.sleep(0.05)

    run(work)
