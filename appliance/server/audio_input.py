"""The audio of one client session on its way to the recogniser: PCM as it is, containers through a decoder."""

from __future__ import annotations

import logging
from collections.abc import Callable

from appliance.audio.signature import HEAD_BYTES, WAV, Signature, recognise, undecided
from appliance.core.options import AudioFormat, Changes
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import Containers
from appliance.media.stream import ContainerStream
from appliance.scheduling.live import LiveSession

SHORTEST_HEAD = 16
"""Bytes without which no container can be recognised. A dialect that allows containers gets no audio before them."""
LONGEST_HEAD = 2_048
"""Bytes in which a container is looked for where it would be refused; three MP3 frames of up to 128 kbit/s."""

log = logging.getLogger(__name__)


class AudioInput:
    """Recognises what a stream begins with, and decodes it where the dialect allows containers."""

    def __init__(
        self,
        session: LiveSession,
        containers: Containers,
        on_audio: Callable[[bytes], None],
        on_problem: Callable[[Problem], None],
    ) -> None:
        """``on_audio`` gets audio in the format of the session's options, ``on_problem`` what is wrong with it."""
        self._session = session
        self._containers = containers
        self._on_audio, self._on_problem = on_audio, on_problem
        self._head: bytearray | None = bytearray()
        """The first bytes, until it is known what they are."""
        self._stream: ContainerStream | None = None
        self._decoded = False
        self._finished = False

    @property
    def full(self) -> bool:
        """Return whether more waits than may."""
        return self._session.full or (self._stream is not None and self._stream.full)

    @property
    def decoding(self) -> bool:
        """Return whether the stream is a container."""
        return self._stream is not None

    @property
    def waiting(self) -> bool:
        """Return whether a decoder has something to do."""
        return self._stream is not None and (self._stream.waiting or self._finished)

    async def room(self) -> None:
        """Wait until more audio may come."""
        while self.full:
            await self._session.room()
            if self._stream is not None:
                await self._stream.room()

    def push(self, data: bytes) -> None:
        """Take the next bytes that the client has sent."""
        if self._stream is not None:
            self._stream.push(data)
        elif self._head is None:
            self._on_audio(data)
        elif self._containers is Containers.REFUSED:
            self._examine(data)
        else:
            self._head += data
            self._look(final=False)

    def flush(self) -> None:
        """Let go of bytes that are held back to be recognised: something that has to follow them does."""
        if self._head and self._containers is not Containers.REFUSED:
            self._look(final=True)

    def finish(self) -> None:
        """No more audio comes: the session ends when all of it is decoded and recognised."""
        self.flush()
        self._finished = True
        if self._stream is None:
            self._session.finish()
        else:
            self._stream.finish()

    def close(self) -> None:
        """End the decoder, and forget the callbacks: a session that is over must not be kept by a cycle."""
        self._on_audio = self._on_problem = _nothing
        if self._stream is not None:
            self._stream.close()

    def _examine(self, data: bytes) -> None:
        """Pass samples on at once, and end the session when they turn out to be a container."""
        assert self._head is not None
        self._head += data
        signature = recognise(bytes(self._head))
        if signature is not None and signature != WAV:
            self._refuse(signature)
            return
        if signature is not None or len(self._head) >= LONGEST_HEAD:
            self._head = None
        self._on_audio(data)

    def _look(self, *, final: bool) -> None:
        """Decide what the stream is, when enough of it is there."""
        assert self._head is not None
        head = bytes(self._head)
        signature = recognise(head)
        required = self._containers is Containers.REQUIRED
        enough = HEAD_BYTES if required or undecided(head) else SHORTEST_HEAD
        if signature is None and not final and len(head) < enough:
            return
        self._head = None
        if signature is not None and not signature.audio:
            self._refuse(signature)
        elif signature is not None and (required or signature != WAV):
            self._decode(head)
        elif required:
            self._on_problem(Problem(Kind.BAD_AUDIO, "the stream does not begin with a container that is accepted"))
        else:
            self._on_audio(head)

    def _refuse(self, signature: Signature) -> None:
        audio = self._session.options.audio
        accepted = f"{audio.encoding.value}, {audio.rate} Hz, {audio.channels} channel(s)"
        detail = f"the stream is {signature.name}; send samples without a container: {accepted}"
        self._on_problem(Problem(Kind.BAD_AUDIO, detail))

    def _decode(self, head: bytes) -> None:
        if self._session.options.audio != AudioFormat():
            self._session.configure(Changes(audio=AudioFormat()))
        self._stream = ContainerStream(self._session.room, self._heard, self._ended)
        self._stream.push(head)

    def _heard(self, samples: bytes) -> None:
        self._decoded = True
        self._on_audio(samples)

    def _ended(self, shortfall: str) -> None:
        """All is decoded. A stream that is cut off, as those of a stopped recorder are, still counts."""
        if shortfall and not (self._decoded and self._finished):
            self._on_problem(Problem(Kind.BAD_AUDIO, shortfall))
        elif self._finished:
            if shortfall:
                log.info("a streamed container is incomplete: %s", shortfall)
            self._session.finish()


def _nothing(_: object) -> None:
    """Take what comes after the end."""
