"""What is told of how the appliance is doing: real parts, none of them running."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.board.lamps import RecordingLamps
from appliance.board.lights import Lamp, State, states
from appliance.board.notify import Supervisor
from appliance.board.panel import Panel
from appliance.capture.listener import Listener
from appliance.core.events import Cause, Final, SpeechEnded, SpeechStarted
from appliance.core.options import SessionOptions
from appliance.core.ports import Capabilities
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.scheduling.settings import Settings
from appliance.status import Phase, Status, writable
from tests.board.sockets import listening, received

MODEL = Capabilities(
    engine="fake", model="fake-en", language="en", grammar=False, word_confidence=False,
    sessions_per_worker=8, streams_per_core=8,
)  # fmt: skip


class Loaded(Pool):
    """A pool with a model."""

    @property
    def models(self) -> dict[str, Capabilities]:
        return {MODEL.model: MODEL}


class Stuck(Loaded):
    """A pool in which somebody has been silent for a day."""

    def beat(self) -> float:
        return 86_400.0


class Rig:
    """One microphone, a systemd that listens at ``inbox``, lamps that remember."""

    def __init__(self, state_dir: Path, inbox: socket.socket, pool: type[Pool] = Loaded) -> None:
        self._inbox = inbox
        self.pool = pool(Plan(models=()), Settings())
        self.lamps = RecordingLamps()
        self.panel = Panel(self.lamps)
        self.muted = False
        listener = Listener(
            self.pool, "desk", SessionOptions(), on_event=lambda event: None, on_change=lambda: None, guard=self.panel
        )
        self.status = Status(
            self.pool,
            [listener],
            clients=lambda: len(self.pool.sessions),
            muted=lambda: self.muted,
            supervisor=Supervisor({"NOTIFY_SOCKET": str(state_dir / "notify"), "WATCHDOG_USEC": "60000"}),
            panel=self.panel,
            state_dir=state_dir,
        )

    def told(self) -> list[str]:
        """What systemd has been told since it was last asked."""
        return [datagram.decode() for datagram in received(self._inbox)]

    def shown(self) -> State:
        return states(self.status.facts())[0]


def with_rig(tmp_path: Path, work: Callable[[Rig], None], pool: type[Pool] = Loaded) -> None:
    async def run() -> None:
        with listening(str(tmp_path / "notify")) as inbox:
            work(Rig(tmp_path, inbox, pool))

    asyncio.run(run())


def test_systemd_is_told_when_it_serves_and_with_what(tmp_path):
    def work(rig: Rig) -> None:
        assert rig.status.line() == "starting: loading models"
        assert rig.shown() is State.BOOTING
        rig.status.enter(Phase.SERVING)
        [message] = rig.told()
        room = f"room for {rig.pool.budget.free(MODEL)} more of fake-en"
        assert message == f"READY=1\nSTATUS=ready: 0 streams open, {room}; microphone desk: absent (not started)"
        assert rig.shown() is State.READY

    with_rig(tmp_path, work)


def test_without_a_model_it_says_why_and_is_not_ready(tmp_path):
    def work(rig: Rig) -> None:
        rig.pool.broken["model"] = "the model x is not installed"
        rig.status.enter(Phase.NO_MODEL)
        assert rig.status.line() == "no model: the model x is not installed"
        assert not any("READY" in message for message in rig.told())
        assert rig.shown() is State.NO_MODEL

    with_rig(tmp_path, work, Pool)


def test_a_box_that_has_lost_its_model_says_so(tmp_path):
    def work(rig: Rig) -> None:
        rig.status.enter(Phase.SERVING)
        rig.pool.broken["en"] = "its folder is gone"
        assert rig.status.line() == "no model: its folder is gone"
        assert rig.shown() is State.NO_MODEL

    with_rig(tmp_path, work, Pool)


def test_one_broken_model_of_several_is_told(tmp_path):
    def work(rig: Rig) -> None:
        rig.status.enter(Phase.SERVING)
        rig.pool.broken["vosk-de"] = "its folder is gone"
        assert rig.status.line().endswith("; model vosk-de: its folder is gone")

    with_rig(tmp_path, work)


def test_a_lamp_that_is_out_of_order_is_told(tmp_path):
    def work(rig: Rig) -> None:
        rig.lamps.broken.append(Lamp.STATUS)
        rig.status.enter(Phase.SERVING)
        assert "status lamp: lamp status: broken" in rig.status.worries

    with_rig(tmp_path, work)


def test_what_a_microphone_hears_is_shown_at_once(tmp_path):
    def work(rig: Rig) -> None:
        rig.status.enter(Phase.SERVING)
        rig.status.heard("desk", SpeechStarted(0))
        assert rig.shown() is State.SPEECH
        rig.status.heard("desk", SpeechEnded(16_000))
        assert rig.shown() is State.READY
        rig.status.heard("desk", Final(0, "hello", (), 1.0, "en", 0, 16_000, Cause.SILENCE))
        assert rig.shown() is State.TRANSCRIBING

    with_rig(tmp_path, work)


def test_a_note_is_in_the_line_until_it_is_taken_back(tmp_path, caplog):
    def work(rig: Rig) -> None:
        rig.status.note("reload", "refused")
        rig.status.note("reload", "refused")
        assert rig.status.line() == "starting: loading models; reload: refused"
        rig.status.note("reload")
        assert rig.status.line() == "starting: loading models"

    with_rig(tmp_path, work)
    assert caplog.text.count("refused") == 1


def test_what_cannot_be_kept_is_a_fault(tmp_path):
    def work(rig: Rig) -> None:
        rig.status.enter(Phase.SERVING)
        rig.status.note("state", "the disk is full")
        assert rig.shown() is State.FAULT

    with_rig(tmp_path, work)


def test_the_microphone_lamp_follows_the_card_whatever_else_is_shown(tmp_path):
    def work(rig: Rig) -> None:
        rig.status.enter(Phase.SERVING)
        assert rig.panel.opening() is None
        rig.status.note("state", "the disk is full")
        assert Lamp.MICROPHONE in rig.lamps.lit()
        rig.panel.closed()
        rig.status.look()
        assert Lamp.MICROPHONE not in rig.lamps.lit()

    with_rig(tmp_path, work)


@pytest.mark.parametrize(("pool", "fed"), [(Loaded, True), (Stuck, False), (Pool, False)])
def test_the_watchdog_is_fed_by_progress_only(tmp_path, caplog, pool, fed):
    async def work() -> None:
        with listening(str(tmp_path / "notify")) as inbox:
            rig = Rig(tmp_path, inbox, pool)
            watching = asyncio.create_task(rig.status.watch())
            await asyncio.sleep(0)
            watching.cancel()
            assert ("WATCHDOG=1" in rig.told()) is fed

    asyncio.run(work())
    assert ("was not replaced" in caplog.text) is (pool is Stuck)


def test_a_folder_that_can_be_written_to_is_no_trouble(tmp_path):
    assert writable(tmp_path) == ""
    assert writable(tmp_path / "absent") == f"{tmp_path / 'absent'}: No such file or directory"


def test_the_health_page_tells_model_and_accuracy(tmp_path: Path) -> None:
    def work(rig: Rig) -> None:
        assert rig.status.detail()["model"] == {}
        rig.status.model = {"name": "x", "accuracy": "not measured"}
        assert rig.status.detail()["model"] == {"name": "x", "accuracy": "not measured"}

    with_rig(tmp_path, work)
