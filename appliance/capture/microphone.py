"""The appliance's microphone: keeps a reader process alive, hands its audio on, turns every failure into a state."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Protocol

from appliance import interpreter
from appliance.capture.backoff import Backoff
from appliance.capture.wire import Failed, Message, Opened, Overrun, Parser, State, WireError

__all__ = ["Guard", "Microphone", "State"]

OPENING_S = 15.0
"""Seconds a reader gets until the card is open: Python and PortAudio start in about 3 on the slowest board."""
SILENT_S = 5.0
"""Seconds without a word from the reader after which it is killed; it speaks 50 times a second and gives up after 3."""
STEADY_S = 30.0
"""A card that stayed open this long is sound, so its next failure is retried soon. More than OPENING_S."""
CHUNK = 1 << 16

log = logging.getLogger(__name__)


class Guard(Protocol):
    """Says whether a card may be opened, and learns when it is closed; called in the microphone's event loop."""

    def opening(self) -> str | None:
        """Called before any process can open the card. A reason means that it has to stay closed; it is asked again."""
        ...

    def descriptors(self) -> tuple[int, ...]:
        """Files that the process that can read the card has to hold open, if any."""
        ...

    def closed(self) -> None:
        """Called after an ``opening`` that gave None, when the process that could read the card is gone."""
        ...


class Microphone:
    """One card under a name of ours. All methods and callbacks run in one event loop.

    ``on_open(rate)`` tells the real rate in Hz at each opening, before its audio; ``on_audio`` gets s16le mono of any
    length; ``on_state(state, reason)`` is called when the state changes. ``device``, ``rate`` and ``channel`` are what
    the reader is asked for. ``guard`` is asked before each opening.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "default",
        rate: int = 16_000,
        channel: int | None = None,
        on_audio: Callable[[bytes], None],
        on_open: Callable[[int], None],
        on_state: Callable[[State, str], None],
        backoff: Backoff | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.name = name
        self.state, self.reason = State.ABSENT, "not started"
        self._fields = {"microphone": name}
        self._known: State | None = None
        self.overruns = 0
        """Times that audio was lost, over all openings."""
        self.opened = 0
        """Times that the card was opened."""
        self._command = interpreter.command("appliance.capture.reader", f"--device={device}", f"--rate={rate}")
        if channel is not None:
            self._command.append(f"--channel={channel}")
        self._on_audio, self._on_open, self._on_state = on_audio, on_open, on_state
        self._backoff = backoff or Backoff()
        self._guard = guard
        self._process: Process | None = None
        self._muted = self._closing = self._told = self._waiting = self._again = False
        self._wish = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def reopened(self) -> int:
        """Times that the card was opened again."""
        return max(0, self.opened - 1)

    @property
    def pid(self) -> int | None:
        """The reader process that has the card, or ``None``."""
        return self._process.pid if self._process else None

    @property
    def mute(self) -> bool:
        """Whether the card is to stay closed. It is closed when the state is MUTED."""
        return self._muted

    @mute.setter
    def mute(self, muted: bool) -> None:
        if muted != self._muted:
            self._muted = muted
            self._interrupt()

    async def run(self) -> None:
        """Keep the card open, or try to, until closed or cancelled; never raises because of a card."""
        self._ended.clear()
        loop = asyncio.get_running_loop()
        try:
            while not self._closing:
                self._wish.clear()
                if self._muted:
                    self._enter(State.MUTED, "muted")
                    await self._wish.wait()
                    continue
                if self.state is State.MUTED:
                    self._backoff.reset()
                    self._enter(State.ABSENT, "opening")
                began, self._again = loop.time(), False
                failed = await self._guarded()
                if self._wish.is_set():
                    continue
                self._enter(failed.state, failed.reason)
                if self._again or loop.time() - began >= STEADY_S:
                    self._backoff.reset()
                if self._again:
                    continue
                self._waiting = True
                with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it can lose a cancellation
                    async with asyncio.timeout(self._backoff.next()):
                        await self._wish.wait()
                self._waiting = False
        finally:
            self._enter(State.ABSENT, "closed")
            self._ended.set()

    async def close(self) -> None:
        """Close the card and end ``run``; returns when both have happened."""
        self._closing = True
        self._interrupt()
        await self._ended.wait()

    def retry(self) -> None:
        """Cards may have come: the next try is made now, and later ones are soon again.

        A try that is under way may have looked too early: if it fails, the next one follows at once.
        """
        if self._waiting:
            self._backoff.reset()
            self._wish.set()
        else:
            self._again = True

    def _interrupt(self) -> None:
        """Make ``run`` look at what is wished; nothing that a reader still has is of use then, so it is killed."""
        self._wish.set()
        if self._process is not None:
            _kill(self._process)

    async def _guarded(self) -> Failed:
        """The life of one reader, if the guard lets it begin."""
        if self._guard is None:
            return await self._listen()
        if reason := self._guard.opening():
            return Failed(State.ABSENT, reason)
        try:
            return await self._listen()
        finally:
            self._guard.closed()

    async def _listen(self) -> Failed:
        """The life of one reader, over when its card is closed."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True,
                pass_fds=self._guard.descriptors() if self._guard else (),
            )  # fmt: skip
        except OSError as problem:
            return Failed(State.ABSENT, f"the reader cannot be started: {problem}")
        self._process = process
        try:
            failed = await self._follow(process)
        except WireError as problem:
            failed = Failed(State.LOST, str(problem))
        finally:
            self._process = None
            await _end(process)
        return failed or Failed(State.LOST, f"the reader ended with {process.returncode}")

    async def _follow(self, process: Process) -> Failed | None:
        """Hand on what the reader says; its failure, or ``None`` when it ended without a word or is to end."""
        assert process.stdout is not None
        parser, patience = Parser(), OPENING_S
        while not self._wish.is_set():
            try:
                chunk = await asyncio.wait_for(process.stdout.read(CHUNK), patience)
            except TimeoutError:
                return Failed(State.LOST, f"the reader said nothing for {patience:.0f} s")
            if not chunk:
                return None
            for message in parser.feed(chunk):
                if self._wish.is_set():
                    return None
                if isinstance(message, Failed):
                    return message
                self._receive(message)
            patience = SILENT_S
        return None

    def _receive(self, message: Message) -> None:
        match message:
            case bytes():
                self._again = False
                self._enter(State.READY, self.reason)
                self._on_audio(message)
            case Opened(device, rate, channels):
                self.opened += 1
                self._told = False
                self.reason = f"{device}, {rate} Hz, {channels} channel{'s' * (channels > 1)}"
                self._on_open(rate)
            case Overrun(count):
                self.overruns += count
                if not self._told:
                    self._told = True
                    log.warning(
                        "microphone %s: audio was lost, from here on only counted", self.name, extra=self._fields
                    )

    def _enter(self, state: State, reason: str) -> None:
        """Tell and log a change of state; a new reason for the same state is kept quietly."""
        self.reason = reason
        self.state = state
        if state is not self._known:
            self._known = state
            log.log(
                logging.INFO if state in (State.READY, State.MUTED) else logging.WARNING,
                "microphone %s: %s (%s)", self.name, state, reason, extra=self._fields,
            )  # fmt: skip
            self._on_state(state, reason)


def _kill(process: Process) -> None:
    """Not ``process.kill``: that polls first, and takes the exit status from whoever waits for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def _end(process: Process) -> None:
    """Kill the reader and wait until it is gone and its pipes are closed."""
    assert process.stdin is not None
    _kill(process)
    process.stdin.close()
    await process.communicate()
