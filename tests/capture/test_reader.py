"""The reader process on a real ALSA device, and its refusals with a stand-in for PortAudio.

A card that is held by another program needs a real card, so BUSY is shown at the seams: PortAudio's answer when a card
is taken between listing and opening, and (test_devices) the kernel's account of a held card.
"""

from __future__ import annotations

import io
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.capture import devices, reader
from appliance.capture.devices import Device
from appliance.capture.wire import Failed, Message, Opened, Overrun, Parser, State
from tests.capture.sound import compare, sound, write_wav
from tests.virtual_mic import NAME, VirtualMicrophone, virtual_microphone

RATES = (8_000, 16_000, 44_100, 48_000)
SECONDS = 1.5


class Reader:
    """A reader process and what it has said."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance.capture.reader", *arguments],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.messages: list[Message] = []
        self._parser = Parser()

    def listen(self, seconds: float) -> list[Message]:
        """Read for that long, or until the stream ends."""
        assert self.process.stdout
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], left)[0]:
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                self.messages += self._parser.feed(chunk)
        return self.messages

    def begin(self) -> list[Message]:
        """Read until the first audio."""
        deadline = time.monotonic() + 10
        while not self.audio:
            assert time.monotonic() < deadline, self.messages
            self.listen(0.05)
        return self.messages

    def listen_until(self, done: threading.Event) -> None:
        while not done.is_set():
            self.listen(0.1)

    @property
    def audio(self) -> bytes:
        return b"".join(message for message in self.messages if isinstance(message, bytes))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def vmic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("vmic")) as microphone:
        yield microphone


@pytest.fixture(scope="module")
def heard(vmic: VirtualMicrophone, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[list[Message], bytes]]:
    """One sound, heard by four readers at once, one for each rate."""
    wav = write_wav(tmp_path_factory.mktemp("sound") / "sound.wav", sound(SECONDS))
    readers = {rate: Reader(vmic.env, f"--device={NAME}", f"--rate={rate}") for rate in RATES}
    for each in readers.values():
        each.begin()
    played = threading.Event()
    threads = [threading.Thread(target=each.listen_until, args=(played,)) for each in readers.values()]
    for thread in threads:
        thread.start()
    vmic.play(wav)
    time.sleep(0.5)
    played.set()
    for thread in threads:
        thread.join()
    for each in readers.values():
        each.__exit__()
    return {rate: (each.messages, each.audio) for rate, each in readers.items()}


@pytest.mark.parametrize("rate", RATES)
def test_what_is_played_is_heard(heard: dict[int, tuple[list[Message], bytes]], rate: int) -> None:
    messages, audio = heard[rate]
    assert messages[0] == Opened(NAME, rate, 1)
    assert all(isinstance(message, bytes) for message in messages[1:])
    correlation, longer = compare(sound(SECONDS), audio, rate)
    assert correlation >= 0.95
    assert abs(longer) <= 0.002


def test_blocks_are_20_ms(heard: dict[int, tuple[list[Message], bytes]]) -> None:
    messages, _ = heard[16_000]
    assert {len(message) for message in messages if isinstance(message, bytes)} == {640}


def test_the_default_device(vmic: VirtualMicrophone) -> None:
    with Reader(vmic.env) as default:
        opened = default.begin()[0]
    assert opened == Opened("default", 16_000, 1)


def test_one_channel_of_several(vmic: VirtualMicrophone) -> None:
    with Reader(vmic.env, "--device=VMIC", "--channel=1") as second:
        messages = second.begin()
    assert messages[0] == Opened(NAME, 16_000, 2)
    assert {len(message) for message in messages if isinstance(message, bytes)} == {640}


def test_devices_are_listed_from_a_fresh_process(vmic: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", vmic.env["ALSA_CONFIG_PATH"])
    listed = {device.name: device for device in devices.list_devices()}
    assert set(listed) == {NAME, "default"}
    assert listed["default"].default
    assert not listed[NAME].default
    assert listed[NAME].rate in (44_100, 48_000)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--device=nobody",), "'nobody'"), ((f"--device={NAME}", "--channel=99"), "none with number 99")],
)
def test_an_absent_card_is_told(vmic: VirtualMicrophone, arguments: tuple[str, ...], reason: str) -> None:
    with Reader(vmic.env, *arguments) as absent:
        (failed,) = absent.listen(5.0)
        assert absent.process.wait(5) == reader.EXIT[State.ABSENT]
    assert isinstance(failed, Failed)
    assert failed.state is State.ABSENT
    assert reason in failed.reason


def test_what_nobody_reads_is_counted(vmic: VirtualMicrophone) -> None:
    with Reader(vmic.env, f"--device={NAME}", "--rate=48000") as slow:
        slow.begin()
        time.sleep(reader.BACKLOG_S + 1.5)
        messages = slow.listen(0.5)
    overruns = [index for index, message in enumerate(messages) if isinstance(message, Overrun)]
    counts = [message.count for message in messages if isinstance(message, Overrun)]
    assert len(overruns) == 1
    assert 10 <= counts[0] <= 100
    kept = sum(isinstance(message, bytes) for message in messages[overruns[0] :])
    assert kept >= reader.BACKLOG_S * reader.BLOCKS_PER_SECOND


@pytest.mark.parametrize("pipe", ["stdin", "stdout"])
def test_it_ends_with_whoever_started_it(vmic: VirtualMicrophone, pipe: str) -> None:
    with Reader(vmic.env, f"--device={NAME}") as orphan:
        orphan.begin()
        getattr(orphan.process, pipe).close()
        assert orphan.process.wait(2) == 0


def test_it_stays_small() -> None:
    code = "import sys; import appliance.capture.reader, sounddevice; print({'numpy', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_card_that_goes_away_is_lost(vmic: VirtualMicrophone) -> None:
    with Reader(vmic.env, f"--device={NAME}") as unlucky:
        unlucky.begin()
        vmic.unplug()
        try:
            messages = unlucky.listen(5.0)
            assert messages[-1] == Failed(State.LOST, "the card went away")
            assert unlucky.process.wait(2) == reader.EXIT[State.LOST]
        finally:
            vmic.replug()


def test_a_card_that_stops_delivering_is_lost(vmic: VirtualMicrophone) -> None:
    server = vmic.server
    with Reader(vmic.env, f"--device={NAME}") as unlucky:
        unlucky.begin()
        server.send_signal(signal.SIGSTOP)
        try:
            messages = unlucky.listen(6.0)
        finally:
            server.send_signal(signal.SIGCONT)
    assert messages[-1] == Failed(State.LOST, "the card delivered nothing for 3 s")


class Refusal(Exception):
    """Stands for sounddevice.PortAudioError."""


class Card:
    """Stands for PortAudio with one card that takes some formats only."""

    PortAudioError = Refusal

    def __init__(
        self, formats: set[tuple[int, int]], code: int = 0, blocks: tuple[bytes, ...] = (), overflowed: bool = False
    ) -> None:
        self.formats, self.code, self.blocks, self.overflowed = formats, code, blocks, overflowed
        self.end: Exception = Refusal("the card is gone")
        self.device = Device("card", 44_100, 2)

    def RawInputStream(self, **asked: Any) -> Any:
        if self.code:
            raise Refusal("Device unavailable", self.code)
        rate, channels = asked["samplerate"], asked["channels"]
        if (rate, channels) not in self.formats:
            known = rate in {rate for rate, _ in self.formats}
            raise Refusal("no", reader.INVALID_CHANNELS if known else reader.INVALID_RATE)
        assert (asked["blocksize"], asked["dtype"]) == (rate // 50, "int16")

        blocks = iter(self.blocks)

        def read(frames: int) -> tuple[bytes, bool]:
            if (block := next(blocks, None)) is None:
                raise self.end
            return block, self.overflowed

        return SimpleNamespace(samplerate=float(rate), channels=channels, start=lambda: None, read=read)


def capture(monkeypatch: pytest.MonkeyPatch, card: Card, channel: int | None = None) -> list[Message]:
    """What the reader says of such a card, asked for 16 kHz."""
    monkeypatch.setattr(devices, "load_portaudio", lambda: card)
    monkeypatch.setattr(devices, "inputs", lambda portaudio: {0: portaudio.device})
    out = io.BytesIO()
    failed = reader.capture("card", 16_000, channel, out)
    return [*Parser().feed(out.getvalue()), failed]


@pytest.mark.parametrize(
    ("formats", "opened"),
    [
        ({(16_000, 1), (44_100, 1)}, (16_000, 1)),
        ({(16_000, 2), (44_100, 1)}, (16_000, 2)),
        ({(44_100, 1), (48_000, 1)}, (44_100, 1)),
        ({(48_000, 2)}, (48_000, 2)),
        ({(8_000, 1)}, (8_000, 1)),
    ],
)
def test_the_best_format_that_the_card_takes(
    monkeypatch: pytest.MonkeyPatch, formats: set[tuple[int, int]], opened: tuple[int, int]
) -> None:
    assert capture(monkeypatch, Card(formats))[0] == Opened("card", *opened)


def test_without_mono_the_first_channel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    block = struct.pack("<6h", 1, -1, 2, -2, 3, -3)
    messages = capture(monkeypatch, Card({(16_000, 2)}, blocks=(block,)))
    assert messages[1] == np.array([1, 2, 3], "<i2").tobytes()


def test_the_asked_channel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    block = struct.pack("<4h", 1, -1, 2, -2)
    messages = capture(monkeypatch, Card({(16_000, 2)}, blocks=(block,)), channel=1)
    assert messages[1:] == [np.array([-1, -2], "<i2").tobytes(), Failed(State.LOST, "the card went away")]


def test_what_the_card_lost_is_told_before_the_audio_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = capture(monkeypatch, Card({(16_000, 1)}, blocks=(b"\1\0",), overflowed=True))
    assert messages[1:3] == [Overrun(1), b"\1\0"]


def test_a_fault_of_our_own_ends_the_reader_too_and_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card({(16_000, 1)})
    card.end = MemoryError()
    printed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    assert capture(monkeypatch, card)[-1] == Failed(State.LOST, "the card went away")
    assert [each.exc_type for each in printed] == [MemoryError]


@pytest.mark.parametrize(("code", "state"), [(reader.UNAVAILABLE, State.BUSY), (-9999, State.ABSENT)])
def test_a_card_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, code: int, state: State) -> None:
    (failed,) = capture(monkeypatch, Card(set(), code))
    assert isinstance(failed, Failed)
    assert failed.state is state


def test_a_card_with_no_usable_format_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    (failed,) = capture(monkeypatch, Card({(192_000, 2)}))
    assert isinstance(failed, Failed)
    assert failed.state is State.ABSENT


def test_a_held_card_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "held", lambda: [Device("USB Mic: - (hw:1,0)", 48_000, 1, busy=True)])
    monkeypatch.setattr(devices, "inputs", lambda portaudio: {})
    monkeypatch.setattr(devices, "load_portaudio", lambda: None)
    assert reader.capture("usb mic", 16_000, None, io.BytesIO()).state is State.BUSY
    assert reader.capture("other", 16_000, None, io.BytesIO()).state is State.ABSENT


def test_without_portaudio_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise devices.CaptureError("PortAudio is not installed")

    monkeypatch.setattr(devices, "load_portaudio", missing)
    assert reader.capture("default", 16_000, None, io.BytesIO()) == Failed(State.ABSENT, "PortAudio is not installed")
