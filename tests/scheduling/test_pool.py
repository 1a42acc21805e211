"""The pool with its real template and real forked workers: what happens when engines crash, hang, leak or lag."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appliance.core.events import AnyEvent, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted
from appliance.core.options import Endpointing, SessionOptions
from appliance.core.problems import Kind, Refused
from appliance.core.session import Session
from appliance.engines.registry import ModelSpec, detector, load
from appliance.packs.store import embedded
from appliance.scheduling import pool as pools
from appliance.scheduling.ease import Level
from appliance.scheduling.live import LiveSession
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.scheduling.settings import Settings
from tests.box import fake, kiosk, run, whisper
from tests.speech import silence, spoken, tone


@contextlib.asynccontextmanager
async def pool(*models: ModelSpec, detector: str = "energy", **settings: Any) -> AsyncIterator[Pool]:
    made = Pool(Plan(models=models or (fake(),), detector=detector), Settings(**settings))
    await made.start()
    try:
        yield made
    finally:
        await made.close()


class Client:
    """A session of the pool and everything it was told."""

    def __init__(self, pool: Pool, options: SessionOptions | None = None) -> None:
        self.events: list[AnyEvent] = []
        self._changed = asyncio.Event()
        self.session: LiveSession = pool.open(options or SessionOptions(), self._told)

    def _told(self, event: AnyEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def worker(self) -> int:
        """The process of its worker."""
        while self.session.worker is None or self.session.worker.pid is None:
            await asyncio.sleep(0.001)
        return self.session.worker.pid

    async def started(self) -> None:
        """Something has been told."""
        await self.until(lambda: bool(self.events))

    async def finished(self) -> list[str]:
        """Finish, wait for the end, and give the texts of the finals."""
        self.session.finish()
        await self.until(lambda: bool(self.events) and isinstance(self.events[-1], Closed))
        return self.texts

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Final)]

    def problem(self) -> Kind | None:
        last = self.events[-1]
        assert isinstance(last, Closed)
        return last.problem.kind if last.problem else None


def alone(spec: ModelSpec, audio: bytes, voice: str = "energy") -> list[str]:
    """The texts of the same audio in a session of this process."""
    session = Session(SessionOptions(), load(spec), detector(voice).stream())
    events = [*session.push(audio), *session.finish()]
    return [event.text for event in events if isinstance(event, Final)]


TALK = tone(1.3) + silence(0.8) + tone(0.7) + silence(0.8) + tone(2.0) + silence(0.8)


@pytest.mark.parametrize("spec", [kiosk(), whisper()], ids=["vosk", "whisper"])
def test_a_worker_hears_what_a_session_alone_hears(spec: ModelSpec) -> None:
    audio = spoken("one two three") + spoken("stop")

    async def work() -> None:
        async with pool(spec, detector="silero") as made:
            client = Client(made)
            for start in range(0, len(audio), 1024):
                client.session.push(audio[start : start + 1024])
            assert await client.finished() == alone(spec, audio, "silero") != []

    run(work)


def test_a_segmentation_fault_costs_a_delay_and_nothing_else() -> None:
    """The worker dies at many different moments; texts are those of an undisturbed session, each told once."""
    expected = alone(fake(), TALK)
    assert len(expected) == 3

    async def work() -> None:
        async with pool() as made:
            for moment in range(16_000, len(TALK), 16_000):
                client = Client(made)
                client.session.push(TALK[:moment])
                while client.session.journal.backlog:
                    await asyncio.sleep(0)
                os.kill(await client.worker(), signal.SIGSEGV)
                client.session.push(TALK[moment:])
                assert await client.finished() == expected, f"killed after {moment} bytes"
                marks = [type(event) for event in client.events if isinstance(event, SpeechStarted | SpeechEnded)]
                assert marks == [SpeechStarted, SpeechEnded] * 3, f"killed after {moment} bytes"
                assert [event.segment for event in client.events if isinstance(event, Final)] == [0, 1, 2]
            assert made.crashes == len(range(16_000, len(TALK), 16_000))

    run(work)


@pytest.mark.parametrize("spec", [kiosk(), whisper()], ids=["vosk", "whisper"])
def test_crash_with_real_engine_gives_the_same_text(spec: ModelSpec) -> None:
    audio = spoken("start two five enter") + spoken("stop")
    expected = alone(spec, audio, "silero")

    async def work() -> None:
        async with pool(spec, detector="silero") as made:
            client = Client(made)
            half = len(audio) // 4 * 2
            client.session.push(audio[:half])
            while client.session.journal.backlog:
                await asyncio.sleep(0)
            os.kill(await client.worker(), signal.SIGSEGV)
            client.session.push(audio[half:])
            assert await client.finished() == expected != []

    run(work)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_sessions_had_is_given_back_while_another_one_goes_on() -> None:
    """The heap cannot end before what is last in it; what is free before that would stay until the worker ends."""
    audio = spoken("start two five enter") + spoken("stop")

    def own_kib(pid: int) -> int:
        return int(Path(f"/proc/{pid}/status").read_text().partition("RssAnon:")[2].split()[0])

    async def work() -> None:
        async with pool(kiosk(), detector="silero", workers=1, streams=9) as made:
            clients = [Client(made) for _ in range(8)]
            last = Client(made)
            for client in (*clients, last):
                client.session.push(audio)
            await last.until(lambda: bool(last.texts))
            before = own_kib(await last.worker())
            for client in clients:
                await client.finished()
            last.session.commit()
            await last.until(lambda: isinstance(last.events[-1], Committed))
            assert before - own_kib(await last.worker()) > 4 << 10

    run(work)


@pytest.mark.parametrize(
    ("memory", "engine", "size"),
    [
        (512, whisper, 2),  # 0.6 of it, 104 MiB each
        (100, whisper, 1),
        (8_192, whisper, 4),
        (100, fake, 4),  # workers share the model
    ],
)
def test_pool_size_is_bound_by_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int, engine: Callable[[], ModelSpec], size: int
) -> None:
    monkeypatch.setattr(pools, "memory_mib", lambda: memory)
    monkeypatch.setattr(pools.cores, "usable", lambda: 4.0)

    async def work() -> None:
        async with pool(engine(), streams=9) as made:
            assert (made.cores, made.usable, made.budget.cores) == (size, size, size)
            clients = [Client(made) for _ in range(6)]
            assert len({client.session.worker for client in clients}) == size
            for client in clients:
                client.session.close()

    run(work)


def test_pool_models_of_their_own_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "memory_mib", lambda: 1_024)
    monkeypatch.setattr(pools.cores, "usable", lambda: 8.0)

    async def work() -> None:
        async with pool(whisper(), structs.replace(whisper(), name="second"), fake()) as made:
            assert made.cores == 2  # 614 MiB for 208 MiB each

    run(work)


def test_pool_broken_whisper_model_is_named_and_others_serve(tmp_path: Path) -> None:
    for path in Path(whisper().path or "").iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").write_bytes(Path(whisper().path or "", "model.bin").read_bytes()[:1_000_000])

    async def work() -> None:
        async with pool(structs.replace(whisper(), name="broken", path=str(tmp_path)), fake()) as made:
            assert list(made.models) == ["fake-en"]
            assert "appliance models verify broken" in made.broken["broken"]
            client = Client(made)
            client.session.push(TALK)
            assert await client.finished() == alone(fake(), TALK)

    run(work)


def test_worker_whose_model_is_deleted_fails_its_session(tmp_path: Path) -> None:
    """Each worker loads the model; what cannot be loaded any more is the session's problem, and no crash."""
    folder = tmp_path / "model"
    shutil.copytree(whisper().path or "", folder)

    async def work() -> None:
        async with pool(structs.replace(whisper(), path=str(folder)), workers=1) as made:
            first = Client(made)
            await first.worker()
            first.session.push(tone(0.5))
            await first.started()
            shutil.rmtree(folder)
            os.kill(await first.worker(), signal.SIGKILL)
            await first.until(lambda: isinstance(first.events[-1], Closed))
            assert first.problem() is Kind.ENGINE_FAILED
            assert made.crashes == 1

    run(work)


def test_audio_that_kills_twice_ends_only_its_own_session() -> None:
    poison = 12_345

    async def work() -> None:
        async with pool(fake(crash_on=poison), workers=1) as made:
            victim, neighbour = Client(made), Client(made)
            assert victim.session.worker is neighbour.session.worker
            neighbour.session.push(TALK[: len(TALK) // 4 * 2])
            victim.session.push(tone(0.5) + tone(0.5, marker=poison))
            neighbour.session.push(TALK[len(TALK) // 4 * 2 :])
            await victim.until(lambda: bool(victim.events) and isinstance(victim.events[-1], Closed))
            assert victim.problem() is Kind.ENGINE_FAILED
            assert await neighbour.finished() == alone(fake(), TALK)
            assert made.crashes == 2
            assert made.budget.open == 0

    run(work)


def test_a_worker_that_hangs_is_replaced() -> None:
    trouble = 12_345

    async def work() -> None:
        async with pool(fake(hang_on=trouble), hang_s=0.5) as made:
            client = Client(made)
            client.session.push(tone(0.5) + tone(0.5, marker=trouble))
            await client.until(lambda: bool(client.events) and isinstance(client.events[-1], Closed))
            assert client.problem() is Kind.ENGINE_FAILED
            assert made.hangs == 2

    run(work)


def test_commands_survive_a_crash_once_each() -> None:
    options = SessionOptions(endpointing=Endpointing(mode="manual"))

    async def work() -> None:
        async with pool() as made:
            client = Client(made, options)
            client.session.push(tone(1.0))
            client.session.commit()
            await client.until(lambda: any(isinstance(event, Committed) for event in client.events))
            client.session.push(tone(0.7))
            os.kill(await client.worker(), signal.SIGKILL)
            client.session.commit()
            client.session.push(tone(0.4))
            assert await client.finished() == ["one two three", "one two", "one"]
            assert sum(isinstance(event, Committed) for event in client.events) == 2

    run(work)


def test_a_model_that_cannot_be_loaded_is_named_and_the_others_serve(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(embedded()["kiosk-words"], broken)
    (broken / "am" / "final.mdl").write_bytes((broken / "am" / "final.mdl").read_bytes()[:5000])
    spec = ModelSpec(name="broken", engine="vosk", language="de", path=str(broken))

    async def work() -> None:
        async with pool(spec, kiosk(), detector="silero") as made:
            assert list(made.models) == ["kiosk-words"]
            assert "appliance models verify broken" in made.broken["broken"]
            with pytest.raises(Refused, match="appliance models install vosk-model-small-de"):
                made.open(SessionOptions(languages=("de",)), lambda event: None)

    run(work)


def test_a_model_deleted_while_running_goes_on_serving(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(embedded()["kiosk-words"], folder)
    audio = spoken("one two three")

    async def work() -> None:
        spec = ModelSpec(name="mortal", engine="vosk", language="en", path=str(folder))
        async with pool(spec, detector="silero") as made:
            shutil.rmtree(folder)
            client = Client(made)
            client.session.push(audio)
            assert await client.finished() == alone(kiosk(), audio, "silero")

    run(work)


def test_the_template_itself_may_die() -> None:
    async def work() -> None:
        async with pool() as made:
            before = Client(made)
            before.session.push(TALK[:32_000])
            process = made._launcher._process
            assert process is not None
            process.kill()
            await process.wait()
            before.session.push(TALK[32_000:])
            assert await before.finished() == alone(fake(), TALK)
            client = Client(made)
            client.session.push(TALK)
            assert await client.finished() == alone(fake(), TALK)

    run(work)


def test_sessions_are_spread_shared_and_bounded() -> None:
    async def work() -> None:
        async with pool(workers=2, streams=5) as made:
            clients = [Client(made) for _ in range(5)]
            workers = [client.session.worker for client in clients]
            assert len(set(workers)) == 2
            with pytest.raises(Refused) as refused:
                Client(made)
            assert refused.value.problem.kind is Kind.TOO_MANY_STREAMS
            for client in clients:
                client.session.push(TALK)
            for client in clients:
                assert await client.finished() == alone(fake(), TALK)
            Client(made)

    run(work)


def test_an_engine_for_one_session_gets_a_process_for_each() -> None:
    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            clients = [Client(made) for _ in range(3)]
            assert len({client.session.worker for client in clients}) == 3
            for client in clients:
                client.session.push(TALK)
                assert await client.finished() == alone(fake(), TALK)
            assert made.recycled == 3

    run(work)


def test_idle_workers_are_recycled() -> None:
    async def work() -> None:
        async with pool(workers=1, recycle_after=2) as made:
            pids = set()
            for _ in range(5):
                client = Client(made)
                client.session.push(tone(0.5))
                await client.started()
                pids.add(await client.worker())
                await client.finished()
            assert made.recycled == 2
            assert len(pids) == 3

    run(work)


def test_a_client_that_sends_too_fast_is_made_to_wait_and_loses_nothing() -> None:
    async def work() -> None:
        async with pool(inbox_s=1.0, window_s=0.5) as made:
            client = Client(made)
            for start in range(0, len(TALK), 3_200):
                client.session.push(TALK[start : start + 3_200])
                await client.session.room()
                assert client.session.backlog_s <= 1.0
            assert await client.finished() == alone(fake(), TALK)

    run(work)


def test_draining_gives_last_words_and_lets_nobody_in() -> None:
    async def work() -> None:
        async with pool() as made:
            client = Client(made)
            client.session.push(tone(1.0))
            await made.drain(10.0)
            assert client.texts == ["one two three"]
            assert client.problem() is None
            with pytest.raises(Refused) as refused:
                Client(made)
            assert refused.value.problem.kind is Kind.SHUTTING_DOWN

    run(work)


def test_phrases_are_checked_by_the_engine() -> None:
    async def work() -> None:
        async with pool(kiosk(), detector="silero") as made:
            client = Client(made, SessionOptions(phrases=("xylophone",)))
            await client.until(lambda: bool(client.events))
            assert client.problem() is Kind.BAD_OPTION
            assert made.budget.open == 0

    run(work)


def test_a_session_that_cannot_be_opened_is_refused_and_crashes_nothing() -> None:
    """Words that would mean something in a grammar are no words; and what an engine raises is the session's problem."""

    async def work() -> None:
        async with pool(whisper(), detector="silero") as made:
            client = Client(made, SessionOptions(phrases=("a(2)",)))
            await client.started()
            assert client.problem() is Kind.BAD_OPTION
            assert made.crashes == 0

    run(work)


def test_sessions_that_keep_coming_do_not_hide_a_worker_that_hangs() -> None:
    trouble = 12_345

    async def work() -> None:
        async with pool(fake(hang_on=trouble), workers=1, hang_s=1.0) as made:
            stuck = Client(made)
            stuck.session.push(tone(0.5, marker=trouble))
            others = []
            for _ in range(12):
                other = Client(made)
                other.session.push(tone(0.5))
                others.append(other)
                await asyncio.sleep(0.2)
            assert made.hangs >= 1
            for other in others:
                assert await other.finished() == ["one"]

    run(work)


def test_a_session_that_leaves_a_hanging_worker_behind_does_not_leave_the_worker() -> None:
    async def work() -> None:
        async with pool(fake(hang_on=12_345, sessions_per_worker=1), hang_s=60.0) as made:
            client = Client(made)
            client.session.push(tone(0.5, marker=12_345))
            pid = await client.worker()
            client.session.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(work)


def test_a_stop_sent_to_the_whole_group_still_gives_last_words() -> None:
    """systemd sends SIGTERM to every process of a service: template and workers leave it to the daemon."""

    async def work() -> None:
        async with pool() as made:
            client = Client(made)
            client.session.push(tone(1.0))
            os.kill(await client.worker(), signal.SIGTERM)
            process = made._launcher._process
            assert process is not None
            process.send_signal(signal.SIGTERM)
            await made.drain(10.0)
            assert client.texts == ["one two three"]
            assert made.crashes == 0

    run(work)


def test_a_crash_while_draining_is_replayed_too() -> None:
    async def work() -> None:
        async with pool() as made:
            client = Client(made)
            client.session.push(tone(1.0))
            pid = await client.worker()
            draining = asyncio.create_task(made.drain(10.0))
            os.kill(pid, signal.SIGKILL)
            await draining
            assert client.texts == ["one two three"]

    run(work)


def test_a_detector_that_cannot_be_loaded_is_said_and_start_returns() -> None:
    async def work() -> None:
        made = Pool(Plan(models=(fake(),), detector="no such detector"), Settings())
        await made.start()
        assert "voice detector" in " ".join(made.broken.values())
        assert not made.ready
        with pytest.raises(Refused) as refused:
            Client(made)
        assert refused.value.problem.kind is Kind.NOT_READY
        await made.close()

    run(work)


def test_what_cannot_be_sent_to_a_worker_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with pool() as made:
            with pytest.raises(OverflowError):
                made.open(SessionOptions(partial_ms=10**30), lambda event: None)
            assert made.budget.open == 0
            assert not made.sessions

    run(work)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def partials(client: Client) -> int:
    return sum(isinstance(event, Partial) for event in client.events)


def test_eased_sessions_get_fewer_partials_and_the_same_finals() -> None:
    async def heard(made: Pool) -> Client:
        client = Client(made)
        client.session.push(TALK)
        assert await client.finished() == alone(fake(), TALK)
        return client

    async def work() -> None:
        async with pool(workers=1) as made:
            usual = partials(await heard(made))
            made._crew.ease(3)
            fewer = partials(await heard(made))
            made._crew.ease(0)
            none = partials(await heard(made))
            made._crew.ease(1)
            assert usual > fewer > none == 0
            assert partials(await heard(made)) == usual

    run(work)


def test_easing_reaches_sessions_that_run_and_workers_that_are_born_later() -> None:
    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            before = Client(made)
            await before.worker()
            made._crew.ease(0)
            after = Client(made)
            for client in (before, after):
                client.session.push(TALK)
                assert await client.finished() == alone(fake(), TALK)
                assert partials(client) == 0

    run(work)


def test_a_box_that_falls_behind_eases_and_refuses_clients_but_no_microphone() -> None:
    """Lateness is played: a stream whose worker does not come round to it."""

    async def work() -> None:
        async with pool(fake(hang_on=12_345), workers=1, hang_s=60.0) as made:
            made.reserve([SessionOptions()])
            stuck = Client(made)
            stuck.session.push(tone(0.5, marker=12_345))
            await until(lambda: made.ease is Level.REFUSING)
            assert made.lag_s > 1.0
            assert made.budget.free(made.choose(())) == 0
            with pytest.raises(Refused, match="falling behind") as refused:
                Client(made)
            assert refused.value.problem.kind is Kind.TOO_MANY_STREAMS
            assert made.refused == {Kind.TOO_MANY_STREAMS: 1}
            made.open(SessionOptions(), lambda event: None, reserved=True).close()
            os.kill(await stuck.worker(), signal.SIGKILL)

    run(work)


def test_one_worker_that_hangs_is_no_lack_of_processor() -> None:
    async def work() -> None:
        async with pool(fake(hang_on=12_345, sessions_per_worker=1), hang_s=60.0) as made:
            stuck, other = Client(made), Client(made)
            stuck.session.push(tone(0.5, marker=12_345))
            while made.lag_s < 7.0:
                other.session.push(tone(0.1))
                await asyncio.sleep(0.1)
            assert made.ease is Level.NORMAL

    run(work)


def test_everyone_is_asked_for_a_sign_of_life() -> None:
    async def work() -> None:
        async with pool(fake(sessions_per_worker=1)) as made:
            client = Client(made)
            client.session.push(TALK)
            await client.finished()
            made.beat()
            worker = made.workers[0]
            await until(lambda: worker.waiting_since is None and made.cpu_s > 0)
            assert made.beat() < 0.2
            spent = made.cpu_s
            made._crew.dismiss(worker)
            assert made.cpu_s == spent, "what it has used stays used"

    run(work)


def test_a_template_that_hangs_is_a_silence() -> None:
    async def work() -> None:
        async with pool() as made:
            process = made._launcher._process
            assert process is not None
            assert made.beat() < 0.2
            await until(lambda: made._launcher.silent_s() == 0.0)
            process.send_signal(signal.SIGSTOP)
            made.beat()
            await until(lambda: made.beat() > 0.2)
            process.send_signal(signal.SIGCONT)
            await until(lambda: made.beat() < 0.2)

    run(work)


def test_a_worker_that_hangs_is_replaced_and_no_silence() -> None:
    async def work() -> None:
        async with pool(hang_s=0.5, workers=1) as made:
            client = Client(made)
            pid = await client.worker()
            os.kill(pid, signal.SIGSTOP)
            made.beat()
            client.session.push(TALK)
            await until(lambda: made.hangs == 1)
            assert made.beat() < 0.2
            assert await client.finished() == alone(fake(), TALK)

    run(work)


def test_figures_of_what_was_done() -> None:
    told: list[float] = []

    async def work() -> None:
        async with pool() as made:
            made.on_final = told.append
            client = Client(made)
            for start in range(0, len(TALK), 3_200):
                client.session.push(TALK[start : start + 3_200])
                await asyncio.sleep(0.1)
            os.kill(await client.worker(), signal.SIGKILL)
            await client.finished()
            assert made.audio_s == pytest.approx(len(TALK) / 32_000)
            assert made.refused == {}

    run(work)
    assert len(told) == 3
    assert all(0 <= seconds < 2.0 for seconds in told)
