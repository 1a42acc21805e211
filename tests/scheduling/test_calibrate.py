"""Calibration in real forked workers, with the fake engine and once with a real one."""

import os

import numpy as np
import pytest

from appliance.core.options import SessionOptions
from appliance.core.problems import Kind, Refused
from appliance.scheduling import calibrate as calibration
from appliance.scheduling import figures
from appliance.scheduling import pool as pools
from appliance.scheduling.calibrate import HELD, OWN, calibrate, continuous, cost, had, room, trimmed
from appliance.scheduling.messages import Measure, Measured
from tests.box import fake, kiosk, run, whisper
from tests.scheduling.test_pool import Client, pool
from tests.speech import silence, spoken, tone

PHRASE = np.frombuffer(silence(0.3) + tone(1.3) + silence(1.0), np.int16)


def measured(cpu_s, audio_s):
    return Measured("m", cpu_s, cpu_s, audio_s, "")


@pytest.fixture(autouse=True)
def to_itself(monkeypatch):
    """The machine that runs the tests may be busy; whether it is, is no matter here."""
    monkeypatch.setattr(calibration, "IDLE", 0.0)


def test_the_worst_worker_counts_and_our_own_work_does_too():
    speech = [measured(1.0, 10.0), measured(2.0, 10.0)]
    assert cost(speech, [measured(0.02, 4.0)]) == pytest.approx(0.2 + OWN * 0.005)


def test_what_was_cut_short_counts_for_what_was_done():
    assert cost([measured(9.0, 3.0)], [measured(0.0, 1.0)]) == pytest.approx(3.0)


def test_a_phrase_is_said_over_and_over_without_its_silence():
    assert len(trimmed(PHRASE)) == pytest.approx(1.3 * 16_000, abs=320)
    speech = continuous(PHRASE, 6.0)
    assert 6.0 <= len(speech) / 16_000 < 6.0 + 1.3
    loudness = np.abs(speech[: len(speech) // 1600 * 1600].reshape(-1, 1600)).max(axis=1)
    assert loudness.min() > 4_000, "there is a pause"
    assert np.array_equal(speech, continuous(PHRASE, 6.0))


def test_silence_alone_is_not_cut_to_nothing():
    assert len(trimmed(np.zeros(1_600, np.int16))) == 1_600
    assert 5 < room(1.0).std() < 50


def test_it_is_measured_once_and_then_remembered(tmp_path):
    path = tmp_path / "state" / "calibration.json"

    async def work():
        said = []
        async with pool() as made:
            guess = made.costs["fake-en"]
            found = await calibrate(made, path, PHRASE, "board", said.append)
            assert said == ["measuring fake-en (1 of 1)"]
            figure = found.models["fake-en"]
            assert figure.heard == "one two three four five six"
            assert 0 < figure.cost == made.costs["fake-en"] != guess
            assert figures.load(path) == found.models
            assert len(made.workers) == 1, "those that measured are gone"
            assert made.ready
            assert await Client(made).finished() == []
        async with pool() as made:
            assert await calibrate(made, path, PHRASE, "board", said.append) == found
            assert len(said) == 1
            assert made.costs["fake-en"] == figure.cost
            await calibrate(made, path, PHRASE, "another board", said.append)
            assert len(said) == 2

    run(work)


def test_only_the_model_that_changed_is_measured_again(tmp_path):
    path = tmp_path / "calibration.json"

    async def work():
        said = []
        async with pool(fake("en"), fake("de")) as made:
            await calibrate(made, path, PHRASE, "board", said.append)
        async with pool(fake("en"), fake("de", words=("eins", "zwei"))) as made:
            found = await calibrate(made, path, PHRASE, "board", said.append)
            assert said[2:] == ["measuring fake-de (1 of 1)"]
            assert found.models["fake-de"].heard.startswith("eins zwei")

    run(work)


def test_nobody_is_let_in_meanwhile(tmp_path):
    async def work():
        async with pool() as made:

            def in_between(said):
                assert not made.ready
                with pytest.raises(Refused, match=HELD) as refused:
                    made.open(SessionOptions(), lambda event: None)
                assert refused.value.problem.kind is Kind.NOT_READY

            await calibrate(made, tmp_path / "c.json", PHRASE, "board", in_between)
            assert made.refused == {Kind.NOT_READY: 1}

    run(work)


def test_whoever_holds_the_pool_besides_goes_on_holding_it(tmp_path):
    async def work():
        async with pool() as made:
            for reason in ("somebody measures", HELD):
                made.held = reason
                held = []
                (tmp_path / "c.json").unlink(missing_ok=True)
                await calibrate(
                    made, tmp_path / "c.json", PHRASE, "board", lambda said, held=held: held.append(made.held)
                )
                assert held == [made.held] == [reason]

    run(work)


@pytest.mark.parametrize(
    ("runs", "cores", "share"),
    [
        ([(1.0, 1.0), (1.0, 1.0)], 2.0, 1.0),
        ([(1.0, 2.0), (1.0, 2.0)], 2.0, 0.5),
        ([(1.0, 1.0), (0.2, 1.0)], 2.0, 0.6),
        ([(1.0, 2.0)] * 4, 2.0, 1.0),  # they take turns on a core
        ([(0.9, 2.0)] * 4, 2.0, 0.9),
        ([(0.5, 1.0)], 0.5, 1.0),  # a quota
        ([(1.0, 1.0)], 4.0, 1.0),
        ([(0.0, 0.0)], 4.0, 1.0),
    ],
)
def test_what_the_machine_left_for_measuring(runs, cores, share):
    assert had([Measured("m", cpu, wall, 1.0, "") for cpu, wall in runs], cores) == pytest.approx(share)


def test_what_was_measured_on_a_busy_machine_is_used_and_measured_again(tmp_path, monkeypatch, caplog):
    path = tmp_path / "calibration.json"

    async def work():
        said = []
        monkeypatch.setattr(calibration, "IDLE", 1e9)
        async with pool() as made:
            found = await calibrate(made, path, PHRASE, "board", said.append)
            assert made.costs["fake-en"] == found.models["fake-en"].cost
            assert "busy with other things" in caplog.text
        monkeypatch.setattr(calibration, "IDLE", 0.0)
        async with pool() as made:
            for _ in range(2):
                await calibrate(made, path, PHRASE, "board", said.append)
                assert len(said) == 2
            assert not figures.load(path)["fake-en"].provisional

    run(work)


def test_a_model_that_crashes_goes_on_with_a_guess(tmp_path, caplog):
    marked = PHRASE.copy()
    marked[8_000] = 12_345

    async def work():
        async with pool(fake(crash_on=12_345)) as made:
            guess = made.costs["fake-en"]
            found = await calibrate(made, tmp_path / "c.json", marked, "board")
            assert found.models == {}
            assert made.costs["fake-en"] == guess
            assert "its cost is a guess" in caplog.text
            assert made.ready

    run(work)


def test_a_state_directory_that_cannot_be_written_changes_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")

    async def work():
        async with pool() as made:
            found = await calibrate(made, tmp_path / "file" / "c.json", PHRASE, "board")
            assert made.costs["fake-en"] == found.models["fake-en"].cost
            assert "cannot be kept" in caplog.text

    run(work)


@pytest.mark.parametrize(("memory", "copies"), [(100, 1), (512, 2), (8_192, 4)])
def test_calibrate_uses_as_many_workers_as_memory_holds(tmp_path, monkeypatch, memory, copies):
    monkeypatch.setattr(pools, "memory_mib", lambda: memory)
    monkeypatch.setattr(pools.cores, "usable", lambda: 4.0)
    asked = []

    async def measure(message, copies):
        asked.append(copies)
        return [measured(1.0, 10.0)]

    async def work():
        async with pool(whisper()) as made:
            monkeypatch.setattr(made, "measure", measure)
            found = await calibrate(made, tmp_path / "c.json", PHRASE, "board")
            assert found.cores == copies

    run(work)
    assert set(asked) == {copies}


def test_a_slow_machine_is_not_measured_for_long():
    async def work():
        async with pool() as made:
            audio = tone(30.0)
            (one,) = await made.measure(Measure("fake-en", audio, 0.0), 1)
            assert one.audio_s < 30.0
            both = await made.measure(Measure("fake-en", audio, 60.0, streams=3), 2)
            assert [each.audio_s for each in both] == [90.0, 90.0]
            assert len({each.text for each in both}) == 1
            assert all(each.cpu_s > 0 and each.wall_s > 0 for each in both)

    run(work)


def test_a_real_engine_hears_the_phrase(tmp_path):
    phrase = np.frombuffer(spoken("one two three"), np.int16)

    async def work():
        async with pool(kiosk(), detector="silero") as made:
            found = await calibrate(made, tmp_path / "c.json", phrase, "board")
            assert found.models["kiosk-words"].heard == "one two three"
            assert 0.002 < found.models["kiosk-words"].cost < 1.0
            assert found.cores == made.usable <= (os.cpu_count() or 1)

    run(work)
