"""The supervised microphone through its whole life, on a real ALSA device that is plugged and unplugged."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.board.lamps import RecordingLamps
from appliance.board.lights import Lamp
from appliance.board.panel import Panel
from appliance.capture import microphone
from appliance.capture.backoff import Backoff
from appliance.capture.microphone import Guard, Microphone, State
from appliance.capture.wire import Failed, Overrun, encode
from tests.capture.sound import compare, sound, write_wav
from tests.virtual_mic import NAME, VirtualMicrophone, virtual_microphone

PATIENCE_S = 8.0
SECONDS = 1.0


class Listener:
    """A microphone and everything it told, in order: states, rates, and the audio since the last opening."""

    def __init__(self, device: str = NAME, rate: int = 16_000) -> None:
        self.states: list[State] = []
        self.rates: list[int] = []
        self.audio = bytearray()
        self.told = asyncio.Event()
        self.microphone = Microphone(
            "test",
            device=device,
            rate=rate,
            on_audio=self.on_audio,
            on_open=self.on_open,
            on_state=self.on_state,
            backoff=Backoff(0.1, 0.3),
        )

    def on_audio(self, audio: bytes) -> None:
        assert self.microphone.state is State.READY
        self.audio += audio
        self.told.set()

    def on_open(self, rate: int) -> None:
        self.rates.append(rate)
        self.audio.clear()

    def on_state(self, state: State, reason: str) -> None:
        assert reason
        self.states.append(state)
        self.told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.told.clear()
                await self.told.wait()

    async def state(self, state: State) -> None:
        await self.until(lambda: self.microphone.state is state)


@asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[Microphone]:
    task = asyncio.create_task(listener.microphone.run())
    try:
        yield listener.microphone
    finally:
        await listener.microphone.close()
        await task


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("vmic")) as device:
        yield device


@pytest.fixture
def vmic(plugged: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch) -> VirtualMicrophone:
    monkeypatch.setenv("ALSA_CONFIG_PATH", plugged.env["ALSA_CONFIG_PATH"])
    return plugged


def test_a_day_with_the_plug(vmic: VirtualMicrophone, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Absent, plugged, heard, unplugged, plugged, heard again; a state is logged once however often it is retried."""
    wav = write_wav(tmp_path / "sound.wav", sound(SECONDS))

    async def hear(listener: Listener) -> None:
        await listener.state(State.READY)
        await asyncio.to_thread(vmic.play, wav)
        await asyncio.sleep(0.5)
        correlation, longer = compare(sound(SECONDS), bytes(listener.audio), 16_000)
        assert correlation >= 0.95
        assert abs(longer) <= 0.002

    async def main() -> None:
        vmic.unplug()
        listener = Listener()
        async with running(listener):
            await asyncio.sleep(1.0)
            assert listener.microphone.state is State.ABSENT
            assert NAME in listener.microphone.reason
            await asyncio.to_thread(vmic.replug)
            await hear(listener)
            vmic.unplug()
            await listener.state(State.LOST)
            await listener.state(State.ABSENT)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(vmic.replug)
            await hear(listener)
        absent = State.ABSENT
        assert listener.states == [absent, State.READY, State.LOST, absent, State.READY, absent]
        assert listener.rates == [16_000, 16_000]
        assert (listener.microphone.opened, listener.microphone.reopened) == (2, 1)
        assert listener.microphone.overruns == 0

    caplog.set_level("INFO", microphone.__name__)
    asyncio.run(main(), debug=True)
    ours = [record for record in caplog.records if record.name == microphone.__name__]
    assert len(ours) == 6


def test_a_killed_reader_is_replaced(vmic: VirtualMicrophone) -> None:
    async def main() -> None:
        listener = Listener()
        async with running(listener) as mic:
            await listener.state(State.READY)
            assert mic.pid is not None
            os.kill(mic.pid, signal.SIGKILL)
            await listener.state(State.LOST)
            assert mic.reason == "the reader ended with -9"
            await listener.state(State.READY)
        assert mic.pid is None
        assert listener.states == [State.READY, State.LOST, State.READY, State.ABSENT]

    asyncio.run(main(), debug=True)


def test_muted_means_closed(vmic: VirtualMicrophone) -> None:
    async def main() -> None:
        listener = Listener(rate=48_000)
        listener.microphone.mute = True
        async with running(listener) as mic:
            await listener.state(State.MUTED)
            mic.mute = False
            await listener.state(State.READY)
            pid = mic.pid
            assert pid is not None
            mic.mute = True
            heard = len(listener.audio)
            await listener.state(State.MUTED)
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            await asyncio.sleep(0.3)
            assert len(listener.audio) == heard
            mic.mute = False
            await listener.state(State.READY)
        muted, opening, ready = State.MUTED, State.ABSENT, State.READY
        assert listener.states == [muted, opening, ready, muted, opening, ready, State.ABSENT]
        assert listener.rates == [48_000, 48_000]

    asyncio.run(main(), debug=True)


def test_cancelling_closes_the_card(vmic: VirtualMicrophone) -> None:
    async def main() -> None:
        listener = Listener()
        task = asyncio.create_task(listener.microphone.run())
        await listener.state(State.READY)
        pid = listener.microphone.pid
        assert pid is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert listener.microphone.state is State.ABSENT

    asyncio.run(main(), debug=True)


def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """A stand-in for the reader process: a shell script that gets the same arguments."""
    path = tmp_path / "reader"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_reader_that_hangs_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "exec sleep 60")
    monkeypatch.setattr(microphone, "OPENING_S", 0.2)

    async def main() -> None:
        listener = Listener()
        async with running(listener) as mic:
            await listener.state(State.LOST)
            assert "said nothing" in mic.reason

    asyncio.run(main(), debug=True)


def test_a_reader_that_talks_nonsense_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "echo nonsense; exec sleep 60")

    async def main() -> None:
        listener = Listener()
        async with running(listener) as mic:
            await listener.state(State.LOST)
            assert "no frame" in mic.reason

    asyncio.run(main(), debug=True)


def test_overruns_add_up_and_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "frames").write_bytes(encode(Overrun(2)) + encode(Overrun(5)) + encode(b"\0\0"))
    script(monkeypatch, tmp_path, f"cat {tmp_path / 'frames'}; exec sleep 60")

    async def main() -> None:
        listener = Listener()
        async with running(listener) as mic:
            await listener.state(State.READY)
            assert mic.overruns == 7

    asyncio.run(main(), debug=True)
    assert sum("audio was lost" in record.message for record in caplog.records) == 1


def test_a_reader_that_cannot_start_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))

    async def main() -> None:
        listener = Listener()
        async with running(listener) as mic:
            await asyncio.sleep(0.05)
            assert mic.state is State.ABSENT
            assert "cannot be started" in mic.reason

    asyncio.run(main(), debug=True)


def test_closing_before_running_is_harmless() -> None:
    async def main() -> None:
        mic = Listener().microphone
        await mic.close()
        await mic.run()
        assert mic.state is State.ABSENT

    asyncio.run(main(), debug=True)


class Doorkeeper:
    """A guard that keeps count, and looks whether the reader's process is really gone."""

    def __init__(self, *reasons: str | None) -> None:
        self.reasons = list(reasons)
        self.told: list[str] = []
        self.microphone: Microphone | None = None
        self.readers: set[int] = set()
        self.files: tuple[int, ...] = ()

    def descriptors(self) -> tuple[int, ...]:
        return self.files

    def opening(self) -> str | None:
        reason = self.reasons.pop(0) if self.reasons else None
        assert self.microphone is not None
        assert self.microphone.pid is None
        self.told.append(reason or "opening")
        return reason

    def closed(self) -> None:
        self.told.append("closed")
        for pid in self.readers:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def guarded(guard: Guard, backoff: Backoff | None = None) -> Listener:
    listener = Listener()
    listener.microphone = Microphone(
        "test",
        on_audio=listener.on_audio,
        on_open=listener.on_open,
        on_state=listener.on_state,
        backoff=backoff or Backoff(0.05, 0.1),
        device=NAME,
        guard=guard,
    )
    if isinstance(guard, Doorkeeper):
        guard.microphone = listener.microphone
    return listener


def test_the_guard_is_asked_before_the_reader_starts_and_told_when_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(monkeypatch, tmp_path, f"cat {tmp_path / 'frames'}; exec sleep 60")
    (tmp_path / "frames").write_bytes(encode(b"\0\0"))
    guard = Doorkeeper()

    async def main() -> None:
        listener = guarded(guard)
        async with running(listener) as mic:
            await listener.state(State.READY)
            assert guard.told == ["opening"]
            assert mic.pid is not None
            guard.readers.add(mic.pid)
            mic.mute = True
            await listener.state(State.MUTED)
            assert guard.told == ["opening", "closed"]
            mic.mute = False
            await listener.state(State.READY)
        assert guard.told == ["opening", "closed"] * 2

    asyncio.run(main(), debug=True)


def test_what_the_guard_wants_held_is_open_in_the_process_that_has_the_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(monkeypatch, tmp_path, f"cat {tmp_path / 'frames'}; exec sleep 60")
    (tmp_path / "frames").write_bytes(encode(b"\0\0"))
    guard = Doorkeeper()

    async def main() -> None:
        with (tmp_path / "line").open("w") as line:
            guard.files = (line.fileno(),)
            listener = guarded(guard)
            async with running(listener) as mic:
                await listener.state(State.READY)
                held = {os.readlink(f"/proc/{mic.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{mic.pid}/fd")}
        assert str(tmp_path / "line") in held

    asyncio.run(main(), debug=True)


def test_a_guard_that_refuses_keeps_the_card_closed_until_it_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(monkeypatch, tmp_path, f"cat {tmp_path / 'frames'}; exec sleep 60")
    (tmp_path / "frames").write_bytes(encode(b"\0\0"))
    guard = Doorkeeper("no light", "no light")

    async def main() -> None:
        listener = guarded(guard)
        async with running(listener) as mic:
            await listener.until(lambda: mic.reason == "no light")
            assert (mic.state, mic.pid, mic.opened) == (State.ABSENT, None, 0)
            await listener.state(State.READY)
        assert guard.told == ["no light", "no light", "opening", "closed"]

    asyncio.run(main(), debug=True)


def test_a_reader_that_fails_or_cannot_start_is_told_as_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    guard = Doorkeeper()

    async def main() -> None:
        listener = guarded(guard)
        task = asyncio.create_task(listener.microphone.run())
        await listener.until(lambda: bool(listener.states))
        assert guard.told == ["opening", "closed"]
        script(monkeypatch, tmp_path, "exec sleep 60")
        listener.microphone._command[0] = sys.executable
        while guard.told[-1] != "opening" or listener.microphone.pid is None:
            await asyncio.sleep(0.01)
        guard.readers.add(listener.microphone.pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert guard.told.count("opening") == guard.told.count("closed")

    asyncio.run(main(), debug=True)


def test_a_microphone_that_waits_can_be_told_to_try_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, f"while cat {tmp_path / 'frames'}; do sleep 0.02; done")
    (tmp_path / "frames").write_bytes(encode(b"\0\0"))
    guard = Doorkeeper("no light", "no light")

    async def main() -> None:
        listener = guarded(guard, Backoff(3600, 3600))
        listener.microphone.retry()  # harmless before there is anything to wait for
        async with running(listener) as mic:
            await listener.until(lambda: mic.reason == "no light")
            while len(guard.told) < 2:
                mic.retry()
                await asyncio.sleep(0.01)
            while mic.state is not State.READY:
                mic.retry()
                await asyncio.sleep(0.01)
            pid = mic.pid
            mic.retry()  # harmless for one that listens
            heard = len(listener.audio)
            await listener.until(lambda: len(listener.audio) > heard + 4)
            assert (mic.state, mic.pid) == (State.READY, pid)

    asyncio.run(main(), debug=True)


def test_cards_that_come_while_one_is_looked_for_are_not_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Told too late for the try under way: the next one follows at once, and no other one after a sound opening."""
    looked, told, card = (tmp_path / name for name in ("looked", "told", "card"))
    (tmp_path / "frames").write_bytes(encode(b"\0\0"))
    (tmp_path / "failed").write_bytes(encode(Failed(State.ABSENT, "no card")))
    script(
        monkeypatch,
        tmp_path,
        f"if [ -e {card} ]; then while cat {tmp_path / 'frames'}; do sleep 0.02; done; fi\n"
        f"touch {looked}; while [ ! -e {told} ]; do sleep 0.02; done; exec cat {tmp_path / 'failed'}",
    )

    async def main() -> None:
        listener = guarded(Doorkeeper(), Backoff(3600, 3600))
        async with running(listener) as mic:
            while not looked.exists():
                await asyncio.sleep(0.01)
            card.touch()
            mic.retry()
            told.touch()
            await listener.state(State.READY)
            mic.retry()
            heard = len(listener.audio)
            await listener.until(lambda: len(listener.audio) > heard + 4)
            assert mic.pid is not None
            os.kill(mic.pid, signal.SIGKILL)
            await listener.state(State.LOST)
            await asyncio.sleep(0.1)
            assert (mic.state, mic.pid) == (State.LOST, None)

    asyncio.run(main(), debug=True)


@pytest.mark.parametrize("ticks", range(4))
def test_cancelling_is_not_lost_when_told_to_try_now(ticks: int) -> None:
    async def main() -> None:
        listener = guarded(Doorkeeper(*["no light"] * 9), Backoff(3600, 3600))
        task = asyncio.create_task(listener.microphone.run())
        await listener.until(lambda: listener.microphone.reason == "no light")
        await asyncio.sleep(0)
        listener.microphone.retry()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
        assert done == {task}
        assert task.cancelled()

    asyncio.run(main(), debug=True)


def test_a_lamp_is_lit_whenever_the_card_is_open(vmic: VirtualMicrophone) -> None:
    """The real reader on a real ALSA device, guarded by the real panel; only the lamps are not of light."""
    lamps = RecordingLamps()
    panel = Panel(lamps)

    async def main() -> None:
        lamps.broken.append(Lamp.MICROPHONE)
        listener = guarded(panel)
        async with running(listener) as mic:
            await listener.until(lambda: mic.reason.startswith("the microphone lamp cannot be lit"))
            assert (mic.opened, mic.pid) == (0, None)
            lamps.broken.clear()
            await listener.state(State.READY)
            assert Lamp.MICROPHONE in lamps.lit()
            mic.mute = True
            assert Lamp.MICROPHONE in lamps.lit()
            await listener.state(State.MUTED)
            assert Lamp.MICROPHONE not in lamps.lit()
            mic.mute = False
            await listener.state(State.READY)
            assert Lamp.MICROPHONE in lamps.lit()
        assert Lamp.MICROPHONE not in lamps.lit()

    asyncio.run(main(), debug=True)
