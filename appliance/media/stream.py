"""A container that arrives in pieces over a connection, decoded by a child process while it arrives."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from appliance import interpreter
from appliance.media.messages import HEADER, Ended, Kind, header
from appliance.media.recording import FAILED, environment, plain

CPU_S = 900
"""Processor time of the decoder of one stream: that of a day of Opus on a Raspberry Pi 3."""
WAITING_BYTES = 256 << 10
"""Of the container that wait for the decoder, above which ``full`` is true: some 30 s of 64 kbit/s."""


class ContainerStream:
    """Bytes of a container in, samples out: s16le, mono, 16 kHz. Needs a running event loop."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[None]],
        on_audio: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        """Start the decoder.

        ``ready`` is awaited before ``on_audio`` gets the next samples, a quarter of a second at most. ``on_end`` is
        called once after the last samples, with what is missing of the container or "". Nothing is called after
        ``close``.
        """
        self._ready, self._on_audio, self._on_end = ready, on_audio, on_end
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._finished = False
        self._more, self._less = asyncio.Event(), asyncio.Event()
        self._less.set()
        self._task = asyncio.create_task(self._run())

    @property
    def full(self) -> bool:
        """Return whether more waits for the decoder than ``WAITING_BYTES``."""
        return not self._less.is_set()

    @property
    def waiting(self) -> bool:
        """Return whether something waits for the decoder."""
        return self._size > 0

    async def room(self) -> None:
        """Wait until ``full`` is false."""
        await self._less.wait()

    def push(self, data: bytes) -> None:
        """Take the next bytes of the container."""
        self._waiting.append(data)
        self._size += len(data)
        if self._size > WAITING_BYTES:
            self._less.clear()
        self._more.set()

    def finish(self) -> None:
        """No more bytes come. ``on_end`` follows."""
        self._finished = True
        self._more.set()

    def close(self) -> None:
        """End the decoder and forget the callbacks."""
        self._on_audio = self._on_end = _nothing
        self._less.set()
        self._task.cancel()

    async def _run(self) -> None:
        shortfall = FAILED
        try:
            process = await asyncio.create_subprocess_exec(
                *interpreter.command("appliance.media.child", str(CPU_S)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment(),
            )
        except OSError as error:
            self._over(f"no decoder can be started: {error.strerror}")
            return
        feeding = asyncio.create_task(self._feed(process))
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ValueError, msgspec.MsgspecError):
                shortfall = await self._read(process)
        finally:
            feeding.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await asyncio.gather(feeding, process.wait(), return_exceptions=True)
        self._over(shortfall)

    def _over(self, shortfall: str) -> None:
        self._size = 0
        self._less.set()
        self._on_end(shortfall)

    async def _read(self, process: Process) -> str:
        """Pass samples on; return the shortfall of the last message."""
        assert process.stdout is not None
        while True:
            kind, size = header(await process.stdout.readexactly(HEADER.size))
            body = await process.stdout.readexactly(size)
            if kind is Kind.ENDED:
                return plain(msgspec.json.decode(body, type=Ended).shortfall)
            if kind is Kind.AUDIO:
                await self._ready()
                self._on_audio(body)

    async def _feed(self, process: Process) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # the decoder is gone, which its output tells
            while True:
                while self._waiting:
                    data = self._waiting.popleft()
                    process.stdin.write(data)
                    await process.stdin.drain()
                    self._size -= len(data)
                    if self._size <= WAITING_BYTES:
                        self._less.set()
                if self._finished:
                    process.stdin.close()
                    return
                self._more.clear()
                await self._more.wait()


def _nothing(_: object) -> None:
    """Take what comes after the end."""
