"""Uploads: against a session that only listens, and whole, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from io import FileIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import ClientDisconnect

from appliance.core.events import AnyEvent, Cause, Closed, Final, Partial
from appliance.core.options import AudioFormat, Encoding, SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import Answer, Transcript, Upload
from appliance.scheduling.live import Sink
from appliance.server import uploads
from appliance.server.uploads import PIECE_S, transcribe
from tests.box import box, fake, run, url
from tests.media.files import chirp, encoded, written
from tests.server.test_bad_input import FAST, HEARD, TALK, serves
from tests.sound import speech
from tests.speech import silence, tone

LIMIT = 1 << 20
SAMPLES = speech(200, 800, 200)
RAW = SAMPLES.tobytes()


class Ear:
    """Stands where a session stands: keeps what it is given, and says that it has heard it all."""

    model = Capabilities(
        engine="fake", model="fake", language="de", grammar=True, word_confidence=True,
        sessions_per_worker=1, streams_per_core=1,
    )  # fmt: skip

    def __init__(self, options: SessionOptions, sink: Sink) -> None:
        self.options = options
        self.sink = sink
        self.given: list[bytes] = []
        self.closed = False
        self.open, self.asked = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.on_push: Callable[[], None] = lambda: None
        self.end: Callable[[int], AnyEvent] = Closed

    @property
    def heard(self) -> bytes:
        return b"".join(self.given)

    @property
    def samples(self) -> int:
        return len(self.heard) * 16_000 // self.options.audio.bytes_per_second

    def push(self, data: bytes) -> None:
        self.given.append(data)
        self.on_push()

    async def room(self) -> None:
        self.asked.set()
        await self.open.wait()

    def finish(self) -> None:
        self.sink(Partial(0, "no", (), 0, 0, 1))
        self.sink(Final(0, "yes", (), 1.0, "de", 0, self.samples, Cause.FINISH))
        self.sink(self.end(self.samples))

    def close(self) -> None:
        self.closed = True


class Ears:
    """Stands where the pool stands."""

    def __init__(self) -> None:
        self.ear: Ear | None = None
        self.refused: Kind | None = None
        self.prepare: Callable[[Ear], None] = lambda ear: None

    def check(self, options: SessionOptions) -> None:
        if self.refused is not None:
            raise Refused(self.refused)

    def open(self, options: SessionOptions, sink: Sink) -> Ear:
        self.check(options)
        self.ear = Ear(options, sink)
        self.prepare(self.ear)
        return self.ear


@pytest.fixture
def pool() -> Ears:
    return Ears()


@pytest.fixture(autouse=True)
def spools(monkeypatch: pytest.MonkeyPatch) -> Any:
    """All files that were made; none of them is left open."""
    made: list[Any] = []
    real = tempfile.TemporaryFile

    def make(*arguments: Any, **more: Any) -> Any:
        made.append(real(*arguments, **more))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    yield made
    assert all(spool.closed for spool in made)


def wanted(raw: AudioFormat | None = None) -> Upload:
    return Upload(keys=("key",), options=SessionOptions(partial_ms=250), raw=raw, answer=lambda _: Answer(200, ""))


async def chunks(data: bytes, size: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
    yield b""


def upload(
    pool: Ears,
    data: bytes | AsyncIterator[bytes],
    raw: AudioFormat | None = None,
    limit: int = LIMIT,
    spend: Callable[[float], bool] = lambda seconds: True,
) -> Coroutine[Any, Any, Transcript]:
    body = chunks(data) if isinstance(data, bytes) else data
    return transcribe(wanted(raw), body, pool, limit, spend)  # type: ignore[arg-type]


def refusal(work: Callable[[], Coroutine[Any, Any, Transcript]]) -> Problem:
    """Why an upload is refused."""
    with pytest.raises(Refused) as refused:
        asyncio.run(work(), debug=True)
    return refused.value.problem


# what goes in

KINDS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("raw", [None, AudioFormat()])
def test_files(container: str, codec: str, raw: AudioFormat | None, pool: Ears) -> None:
    """Whatever the content type said of them."""
    transcript = asyncio.run(upload(pool, written(SAMPLES, container, codec), raw))
    assert pool.ear is not None
    assert pool.ear.options.audio == AudioFormat(rate=16_000)
    assert pool.ear.options.partial_ms == 0
    assert pool.ear.samples == pytest.approx(len(SAMPLES), abs=800)
    if codec in ("PCM_16", "FLOAT"):
        assert pool.ear.heard == RAW
    assert [final.text for final in transcript.finals] == ["yes"]
    assert (transcript.audio, transcript.language) == (pool.ear.samples, "de")
    assert pool.ear.closed


@pytest.mark.parametrize(
    "audio", [AudioFormat(), AudioFormat(rate=8_000, channels=2), AudioFormat(Encoding.MULAW, 8_000)]
)
def test_samples_without_a_file(audio: AudioFormat, pool: Ears) -> None:
    asyncio.run(upload(pool, RAW, audio))
    assert pool.ear is not None
    assert pool.ear.options.audio == audio
    assert pool.ear.heard == RAW


@pytest.mark.parametrize(
    "first", ["ff ff 00 00 04 00", "ff ff ff ff", "ff ff 32 00", "ff fb 00 00", "ff f3 ff ff", "00 00", "fe ff"]
)
def test_quiet_samples_are_no_mp3(first: str, pool: Ears) -> None:
    """-1 is 0xFFFF, which is how an MPEG frame begins."""
    quiet = bytes.fromhex(first) + np.random.default_rng(0).integers(-3, 3, 4_000).astype("<i2").tobytes()
    asyncio.run(upload(pool, quiet, AudioFormat()))
    assert pool.ear is not None
    assert pool.ear.heard == quiet


@pytest.mark.parametrize("raw", [None, AudioFormat()])
@pytest.mark.parametrize("kind", ["webm", "m4a", "mp4", "mkv", "aac", "mp3 vbr"])
def test_upload_phone_recording_is_heard_whole(kind: str, raw: AudioFormat | None, pool: Ears) -> None:
    """Whatever the content type said of it."""
    transcript = asyncio.run(upload(pool, encoded(chirp(), kind), raw))
    assert pool.ear is not None
    assert pool.ear.samples == pytest.approx(32_000, abs=3_000)
    assert transcript.shortfall == ""


def test_upload_cut_off_is_heard_and_reported(pool: Ears) -> None:
    transcript = asyncio.run(upload(pool, written(SAMPLES)[:-1_000]))
    assert pool.ear is not None
    assert pool.ear.heard == RAW[:-1_000]
    assert transcript.shortfall == f"1000 of {len(RAW)} bytes of audio are missing at the end"


def test_pieces(pool: Ears) -> None:
    long = np.concatenate([SAMPLES] * 6)
    asyncio.run(upload(pool, written(long)))
    assert pool.ear is not None
    assert [len(piece) for piece in pool.ear.given[:-1]] == [int(PIECE_S * 32_000)] * (len(pool.ear.given) - 1)
    assert len(pool.ear.given) > 2
    assert pool.ear.heard == long.tobytes()


def test_it_is_decoded_no_faster_than_it_is_heard(pool: Ears) -> None:
    async def work() -> None:
        pool.prepare = lambda ear: ear.open.clear()
        doing = asyncio.create_task(upload(pool, written(np.concatenate([SAMPLES] * 6))))
        await _waits(pool)
        assert pool.ear is not None
        assert len(pool.ear.given) == 1
        pool.ear.open.set()
        await doing
        assert len(pool.ear.given) > 2

    asyncio.run(work())


async def _waits(pool: Ears) -> None:
    """Until the upload waits for room."""
    async with asyncio.timeout(10):
        while pool.ear is None:
            await asyncio.sleep(0)
        await pool.ear.asked.wait()


# what does not


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"this is no audio " * 100, "not recognised as audio; accepted are WAV"),
        (RAW, "not recognised as audio"),
        (bytes(4) + b"ftypM4A " + bytes(1_000), "MP4 or M4A that cannot be opened"),
        (written(SAMPLES, "FLAC")[:300], "ends in the middle"),
        (encoded(SAMPLES, "m4a")[:-3_000], "recorded without being finished"),
        (b"\x1f\x8b\x08" + bytes(1_000), "a gzip archive instead of audio"),
        (written(SAMPLES, rate=100), "100 Hz"),
    ],
)
def test_what_cannot_be_decoded(data: bytes, words: str, pool: Ears) -> None:
    problem = refusal(lambda: upload(pool, data))
    assert problem.kind is Kind.BAD_AUDIO
    assert words in problem.detail
    assert pool.ear is None or pool.ear.closed


def test_an_empty_body_of_samples(pool: Ears) -> None:
    assert refusal(lambda: upload(pool, b"", AudioFormat())).kind is Kind.BAD_AUDIO


def test_too_big(pool: Ears) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield bytes(10_000)

    problem = refusal(lambda: upload(pool, endless(), AudioFormat(), 100_000))
    assert problem == Problem(Kind.MESSAGE_TOO_BIG, "at most 100000 bytes of audio")
    assert sent == 110_000
    assert pool.ear is None


def test_exactly_as_big_as_may_be(pool: Ears) -> None:
    asyncio.run(upload(pool, RAW, AudioFormat(), len(RAW)))
    assert pool.ear is not None


def test_more_than_one_write(pool: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "WRITE_BYTES", 3_000)
    asyncio.run(upload(pool, RAW, AudioFormat()))
    assert pool.ear is not None
    assert pool.ear.heard == RAW


def test_a_disk_that_takes_a_little_at_a_time(pool: Ears, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Slow(FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:700])

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Slow(tmp_path / "spool", "w+"))
    asyncio.run(upload(pool, RAW, AudioFormat()))
    assert pool.ear is not None
    assert pool.ear.heard == RAW


def test_a_body_that_stops(pool: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "STALL_S", 0.01)

    async def stops() -> AsyncIterator[bytes]:
        yield RAW
        await asyncio.Event().wait()

    assert refusal(lambda: upload(pool, stops(), AudioFormat())).kind is Kind.IDLE
    assert pool.ear is None


def test_a_client_that_goes(pool: Ears) -> None:
    async def goes() -> AsyncIterator[bytes]:
        yield RAW
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        asyncio.run(upload(pool, goes(), AudioFormat()))
    assert pool.ear is None


def test_no_room_on_the_disk(pool: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FileIO("/dev/full", "r+"))
    problem = refusal(lambda: upload(pool, RAW, AudioFormat()))
    assert problem.kind is Kind.NOT_READY
    assert "No space left" in problem.detail


def test_no_place_for_a_file(pool: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FileIO("/nonexistent"))
    assert refusal(lambda: upload(pool, RAW, AudioFormat())).kind is Kind.NOT_READY


# what the accounts, the pool and the session have against it


def test_seconds_are_spent_before_they_are_heard(pool: Ears) -> None:
    spent: list[float] = []
    long = np.concatenate([SAMPLES] * 6)
    asyncio.run(upload(pool, written(long, rate=8_000), spend=lambda seconds: bool(spent.append(seconds)) or True))
    assert sum(spent) == pytest.approx(len(long) / 8_000)
    assert max(spent) <= PIECE_S


def test_the_quota(pool: Ears) -> None:
    left = iter([True, False])
    problem = refusal(lambda: upload(pool, written(np.concatenate([SAMPLES] * 6)), spend=lambda _: next(left)))
    assert problem.kind is Kind.QUOTA_EXCEEDED
    assert pool.ear is not None
    assert len(pool.ear.given) == 1
    assert pool.ear.closed


def test_refused_before_the_body_is_read(pool: Ears) -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("the body is read")
        yield b""

    pool.refused = Kind.NO_MODEL
    assert refusal(lambda: upload(pool, unread())).kind is Kind.NO_MODEL


def test_refused_when_the_body_is_there(pool: Ears) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield RAW
        pool.refused = Kind.TOO_MANY_STREAMS

    assert refusal(lambda: upload(pool, body(), AudioFormat())).kind is Kind.TOO_MANY_STREAMS


def test_a_session_that_fails(pool: Ears) -> None:
    problem = Problem(Kind.ENGINE_FAILED, "why")
    pool.prepare = lambda ear: setattr(ear, "end", lambda samples: Closed(samples, problem))
    assert refusal(lambda: upload(pool, written(SAMPLES))) == problem


@pytest.mark.parametrize("problem", [None, Problem(Kind.ENGINE_FAILED)])
def test_a_session_that_ends_early(problem: Problem | None, pool: Ears) -> None:
    """The pool finishes every session when the daemon stops; then half of a file would pass for all of it."""
    pool.prepare = lambda ear: setattr(ear, "on_push", lambda: ear.sink(Closed(ear.samples, problem)))
    got = refusal(lambda: upload(pool, written(np.concatenate([SAMPLES] * 6))))
    assert got.kind is (problem.kind if problem else Kind.SHUTTING_DOWN)
    assert pool.ear is not None
    assert len(pool.ear.given) == 1


def test_a_session_that_has_not_heard_the_end(pool: Ears) -> None:
    pool.prepare = lambda ear: setattr(ear, "end", lambda samples: Closed(samples - 3_200))
    assert refusal(lambda: upload(pool, written(SAMPLES))).kind is Kind.SHUTTING_DOWN


# cancelled


def test_cancelled_while_it_is_heard(pool: Ears) -> None:
    async def work() -> None:
        pool.prepare = lambda ear: ear.open.clear()
        doing = asyncio.create_task(upload(pool, written(SAMPLES)))
        await _waits(pool)
        doing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await doing
        assert doing.cancelled()
        assert pool.ear is not None
        assert pool.ear.closed

    asyncio.run(work())


@pytest.mark.parametrize("fails", [False, True])
def test_cancelled_while_a_thread_has_the_file(fails: bool) -> None:
    """However often: a file that is closed under a decoder takes the daemon with it."""
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        began.set()
        go_on.wait(10)
        ended.set()
        if fails:
            raise ValueError

    async def work() -> None:
        doing = asyncio.create_task(uploads._in_thread(read))
        await asyncio.to_thread(began.wait, 10)
        for _ in range(3):
            doing.cancel()
            await asyncio.sleep(0)
            assert not doing.done()
        go_on.set()
        with contextlib.suppress(asyncio.CancelledError):
            await doing
        assert doing.cancelled()
        assert ended.is_set()

    asyncio.run(work())


# whole, over HTTP, as Speechall's REST API


PATH = "/v1/transcribe"
ASKED = {"model": "openai.whisper-1", "api_key": "key", "output_format": "json"}


def spoken(rate: int = 16_000) -> np.ndarray:
    return np.frombuffer(TALK + silence(1.0) + tone(0.4) + silence(1.0), "<i2")


def test_http() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            for container in ("WAV", "FLAC"):
                answer = await web.post(PATH, params=ASKED, content=written(spoken(), container))
                assert answer.status_code == 200, answer.text
                body = answer.json()
                first, second = body["segments"]
                assert first["text"] == HEARD
                assert body["text"] == f"{HEARD} {second['text']}"
                assert second["start"] == pytest.approx(3.1, abs=0.3)
                assert [word["word"] for word in body["words"]] == body["text"].split()
            raw = await web.post(PATH, params=ASKED, content=spoken().tobytes(), headers={"content-type": "audio/pcm"})
            assert raw.json()["text"] == body["text"]
            plain = await web.post(PATH, params={**ASKED, "output_format": "srt"}, content=written(spoken()))
            assert plain.headers["content-type"] == "text/plain; charset=utf-8"
            assert plain.text.startswith("1\n00:00:0")
            assert daemon.pool.sessions == {}

    run(work)


def test_http_refusals() -> None:
    async def work() -> None:
        server = {"max_upload_bytes": 65_536}
        async with box(fake(), **FAST, server=server) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            text = await web.post(PATH, params=ASKED, content=b"this is no audio")
            assert (text.status_code, text.json()["code"]) == (400, "invalid_request_error")
            big = await web.post(PATH, params=ASKED, content=written(spoken()))
            assert big.status_code == 400
            assert "65536" in big.json()["message"]
            french = await web.post(PATH, params={**ASKED, "language": "fr"}, content=written(SAMPLES))
            assert (french.status_code, french.json()["code"]) == (404, "not_found")
            nobody = await web.post(PATH, params={"model": "a.b"}, content=written(SAMPLES))
            assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
            assert daemon.pool.sessions == {}
            assert await serves(daemon)

    run(work)


def test_http_cut_off_upload_has_a_header() -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            whole = written(spoken())
            answer = await web.post(PATH, params=ASKED, content=whole)
            assert "x-audio-incomplete" not in answer.headers
            answer = await web.post(PATH, params=ASKED, content=whole[:-1_000])
            assert answer.status_code == 200
            assert answer.json()["text"].startswith(HEARD)
            assert answer.headers["x-audio-incomplete"].startswith("1000 of ")

    run(work)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, "send the file itself as the body"),
        ({"content-encoding": "gzip"}, "send the file without compression"),
    ],
)
def test_http_wrapped_upload_says_what_to_send(headers: dict[str, str], words: str) -> None:
    async def work() -> None:
        async with box(fake(), **FAST) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            answer = await web.post(PATH, params=ASKED, content=b"--x\r\n", headers=headers)
            assert answer.status_code == 400
            assert words in answer.json()["message"]

    run(work)


def test_http_longer_than_what_may_wait() -> None:
    """Of the inbox, which is a second here."""

    async def work() -> None:
        scheduling = {"inbox_s": 1.0}
        async with box(fake(), **FAST, scheduling=scheduling) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            data = written(np.concatenate([np.frombuffer(TALK, "<i2")] * 20))
            answer = await web.post(PATH, params=ASKED, content=data, timeout=30)
            assert len(answer.json()["segments"]) == 20

    run(work)
