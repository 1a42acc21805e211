"""The process that reads one card and writes what it hears to stdout, as frames of ``wire``.

A process of its own, because PortAudio sees cards come and go only when it starts anew, may hang or crash when one is
unplugged, and must not wait for a decoder. It ends when its stdin does, that is with its parent, and when nobody reads
stdout. It ends with ``os._exit``, because closing a card that is gone can hang.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, BinaryIO

from appliance.capture import devices, names
from appliance.capture.backlog import Backlog
from appliance.capture.devices import CaptureError, Device
from appliance.capture.wire import Failed, Message, Opened, Overrun, State, encode
from appliance.system.protection import refuse_generated_code

BLOCKS_PER_SECOND = 50
BACKLOG_S = 3
"""Seconds of audio kept for a parent that does not read; a garbage collection or a slow SD card takes less than one."""
SILENT_S = 3.0
"""Seconds without a block after which a card is lost: an idle PulseAudio sink may take 2 to begin."""
POLL_S = 0.25
RATES = (48_000, 44_100, 16_000, 8_000)
"""Hz to try after the asked and the native rate, best first."""
EXIT = {State.ABSENT: 3, State.BUSY: 4, State.LOST: 5}

# portaudio.h, enum PaErrorCode
INVALID_RATE, INVALID_CHANNELS, UNAVAILABLE = -9997, -9998, -9985


class Unusable(Exception):
    """The card cannot be opened; holds what to tell."""

    def __init__(self, state: State, reason: str) -> None:
        self.failed = Failed(state, reason)
        super().__init__(reason)


def capture(name: str, rate: int, channel: int | None, out: BinaryIO) -> Failed:
    """Read the card called ``name`` into ``out`` until it fails; why it failed."""
    backlog = Backlog(BACKLOG_S * BLOCKS_PER_SECOND)
    try:
        portaudio = devices.load_portaudio()
        index, device = _find(name, portaudio)
        stream = _open(portaudio, index, device, rate, channel, backlog)
    except CaptureError as problem:
        return Failed(State.ABSENT, str(problem))
    except Unusable as problem:
        return problem.failed
    _write(out, Opened(device.name, int(stream.samplerate), stream.channels))
    return _forward(stream, backlog, channel or 0, out)


def _find(name: str, portaudio: ModuleType) -> tuple[int, Device]:
    """Index and description of the card a configured name means. Unusable when there is none, or somebody holds it."""
    free, held = devices.inputs(portaudio), devices.held()
    device = names.find(name, (*free.values(), *held))
    for index, card in free.items():
        if card is device:
            return index, card
    if device is not None:
        raise Unusable(State.BUSY, f"{device.name} is used by another program")
    raise Unusable(State.ABSENT, f"no input device called {name!r}" if name != devices.DEFAULT else "no input device")


def _open(portaudio: ModuleType, index: int, device: Device, rate: int, channel: int | None, backlog: Backlog) -> Any:
    """A started stream, at the asked rate and with as few channels as the card allows. Unusable when it refuses."""
    if channel is not None and channel >= device.channels:
        raise Unusable(State.ABSENT, f"{device.name} has {device.channels} channels, none with number {channel}")

    refusal = ""
    for hertz, channels in _formats(device, rate, channel):
        try:
            stream = portaudio.RawInputStream(
                device=index,
                samplerate=hertz,
                channels=channels,
                dtype="int16",
                blocksize=hertz // BLOCKS_PER_SECOND,
                latency="high",
            )
            stream.start()
        except portaudio.PortAudioError as problem:
            refusal, code = str(problem), problem.args[1] if len(problem.args) > 1 else 0
            if code == UNAVAILABLE:
                raise Unusable(State.BUSY, f"{device.name} is used by another program") from problem
            if code not in (INVALID_RATE, INVALID_CHANNELS):
                raise Unusable(State.ABSENT, f"{device.name} cannot be opened: {refusal}") from problem
        else:
            threading.Thread(
                target=_listen, args=(portaudio, stream, hertz // BLOCKS_PER_SECOND, backlog), daemon=True
            ).start()
            return stream
    raise Unusable(State.ABSENT, f"{device.name} takes no format of ours: {refusal}")


def _listen(portaudio: ModuleType, stream: Any, block: int, backlog: Backlog) -> None:
    """Read until the card is lost. Not by a callback of PortAudio's: that is code in memory that can be written to,
    which the service's unit forbids (MemoryDenyWriteExecute)."""
    try:
        while True:
            samples, overflowed = stream.read(block)
            backlog.put(bytes(samples), overflowed)
    except portaudio.PortAudioError:
        pass
    finally:  # also when the fault is ours; Python prints that
        backlog.end()


def _formats(device: Device, rate: int, channel: int | None) -> Iterator[tuple[int, int]]:
    """(Hz, channels) to try, best first: the rate matters more than the channels."""
    for hertz in dict.fromkeys((rate, device.rate, *RATES)):
        for channels in dict.fromkeys((1 if channel is None else channel + 1, device.channels)):
            yield hertz, channels


def _forward(stream: Any, backlog: Backlog, channel: int, out: BinaryIO) -> Failed:
    """Write the chosen channel, and each gap before the audio that follows it, until the card is lost."""
    heard = time.monotonic()
    while True:
        overruns, block = backlog.take(POLL_S)
        if overruns:
            _write(out, Overrun(overruns))
        if block is not None:
            heard = time.monotonic()
            _write(out, pick(block, channel, stream.channels))
        elif backlog.ended:
            return Failed(State.LOST, "the card went away")
        elif time.monotonic() - heard > SILENT_S:
            return Failed(State.LOST, f"the card delivered nothing for {SILENT_S:.0f} s")


def pick(block: bytes, channel: int, channels: int) -> bytes:
    """One channel, counted from 0, of interleaved s16le."""
    return block if channels == 1 else memoryview(block).cast("h")[channel::channels].tobytes()


def _write(out: BinaryIO, message: Message) -> None:
    out.write(encode(message))
    out.flush()


def _claim_stdout() -> BinaryIO:
    """Stdout for frames alone. What ALSA and PortAudio print goes nowhere, Python's own errors stay on stderr."""
    out, sys.stderr = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(2), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    return out


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m appliance.capture.reader", description=__doc__)
    parser.add_argument("--device", default=devices.DEFAULT, help="full name, part of it, or 'default'")
    parser.add_argument("--rate", type=int, default=16_000, help="Hz to ask the card for")
    parser.add_argument("--channel", type=int, help="one channel of a card that has several, counted from 0")
    options = parser.parse_args()
    out = _claim_stdout()
    refuse_generated_code()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        failed = capture(options.device, options.rate, options.channel, out)
        _write(out, failed)
    except BrokenPipeError:
        os._exit(0)
    os._exit(EXIT[failed.state])


if __name__ == "__main__":
    main()
