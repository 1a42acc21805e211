"""A whole file through a session: the body is spooled to disk, decoded piece by piece, and heard as a stream would be.

What is in memory does not grow with the file. A child process decodes; the event loop does not wait for a disk.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from io import FileIO
from typing import TypeVar

from msgspec import structs

from appliance.audio.signature import HEAD_BYTES, recognise
from appliance.core.events import RATE, AnyEvent, Closed, Final
from appliance.core.options import AudioFormat
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import Transcript, Upload
from appliance.media.raw import RawRecording
from appliance.media.recording import Recording, Unreadable
from appliance.scheduling.live import LiveSession
from appliance.scheduling.pool import Pool
from appliance.server.spool import SpoolRoom

Result = TypeVar("Result")

STALL_S = 60.0
"""Without a byte of the body, after which its client is taken for gone."""
LONGEST_S = 4 * 3600.0
"""Of audio in one upload: a small compressed file can hold weeks of silence."""
WRITE_BYTES = 1 << 20
"""Written to the disk at a time."""
PIECE_S = 2.0
"""Of audio decoded at a time."""
TOLERANCE = RATE // 10
"""Samples by which a session may have heard less than it was given, and still all of it."""


async def transcribe(
    upload: Upload,
    body: AsyncIterator[bytes],
    pool: Pool,
    limit_bytes: int,
    spend: Callable[[float], bool],
    room: SpoolRoom | None = None,
) -> Transcript:
    """What is said in a body of at most ``limit_bytes``, for whose file there must be ``room``.

    ``spend`` is told the seconds of audio before they are heard, and says whether they may be. Raises ``Refused``:
    BAD_AUDIO, MESSAGE_TOO_BIG, IDLE (the body stops coming), QUOTA_EXCEEDED, NOT_READY (no room on the disk too),
    SHUTTING_DOWN, and what the pool and the session have against it. Cancelled or refused, it leaves nothing behind.
    """
    pool.check(upload.options)
    with _spool() as spool:
        await fill(spool, body, limit_bytes, room)
        source = await _in_thread(_open, spool, upload.raw)
        try:
            return await _hear(source, upload, pool, spend)
        except Unreadable as unreadable:
            raise Refused(Kind.BAD_AUDIO, str(unreadable)) from unreadable
        finally:
            source.close()


# the body


def _spool() -> FileIO:
    """A file without a name: gone with the process at the latest."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(error) from error


async def fill(spool: FileIO, body: AsyncIterator[bytes], limit_bytes: int, room: SpoolRoom | None = None) -> None:
    """Write the whole body. Raises ``Refused``: MESSAGE_TOO_BIG, IDLE, NOT_READY for a disk that does not take it.

    ``room`` is asked before each piece, because other files grow at the same time.
    """
    size, waiting = 0, bytearray()
    try:
        while True:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(body, None)
            size += len(chunk or b"")
            if size > limit_bytes:
                raise Refused(Kind.MESSAGE_TOO_BIG, f"at most {limit_bytes} bytes of audio")
            waiting += chunk or b""
            if waiting and (chunk is None or len(waiting) >= WRITE_BYTES):
                await _in_thread(_write, spool, bytes(waiting), room)
                waiting.clear()
            if chunk is None:
                return
    except TimeoutError as error:
        raise Refused(Kind.IDLE, f"{STALL_S:.0f} s") from error
    except OSError as error:
        raise _no_room(error) from error


def _write(spool: FileIO, data: bytes, room: SpoolRoom | None) -> None:
    if room is not None:
        room.require(len(data))
    while data:
        data = data[spool.write(data) :]


def _no_room(error: OSError) -> Refused:
    return Refused(Kind.NOT_READY, f"there is no place to keep an upload: {error.strerror}")


# what is in it


def _open(spool: FileIO, raw: AudioFormat | None) -> Recording | RawRecording:
    """Open the body: a file if it begins like one, else samples in the format ``raw``. Raises ``Refused``."""
    spool.seek(0)
    head = spool.read(HEAD_BYTES)
    spool.seek(0)
    if not head:
        raise Refused(Kind.BAD_AUDIO, "the body is empty")
    if raw is not None and recognise(head) is None:
        return RawRecording(spool.fileno(), raw)
    try:
        return Recording(spool.fileno())
    except Unreadable as unreadable:
        raise Refused(Kind.BAD_AUDIO, str(unreadable)) from unreadable


# hearing it


async def _hear(
    source: Recording | RawRecording, upload: Upload, pool: Pool, spend: Callable[[float], bool]
) -> Transcript:
    finals: list[Final] = []
    over: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()

    def told(event: AnyEvent) -> None:
        if isinstance(event, Final) and event.text:
            finals.append(event)
        elif isinstance(event, Closed) and not over.done():
            over.set_result(event)

    session = pool.open(structs.replace(upload.options, audio=source.audio, partial_ms=0), told)
    try:
        given = await _push(source, session, over, spend)
        closed = await over
    finally:
        session.close()
    if closed.problem is not None or closed.audio < given - TOLERANCE:
        raise _cut_off(closed)
    return Transcript(tuple(finals), closed.audio, session.model.language, source.shortfall)


async def _push(
    source: Recording | RawRecording, session: LiveSession, over: asyncio.Future[Closed], spend: Callable[[float], bool]
) -> int:
    """All of it, at the pace at which it is heard; returns how much that is, in samples at 16 kHz."""
    given = 0
    while piece := await _in_thread(source.read, PIECE_S):
        if over.done():
            raise _cut_off(over.result())
        if not spend(len(piece) / source.audio.bytes_per_second):
            raise Refused(Kind.QUOTA_EXCEEDED)
        session.push(piece)
        given += len(piece)
        if given > LONGEST_S * source.audio.bytes_per_second:
            raise Refused(Kind.MESSAGE_TOO_BIG, f"at most {LONGEST_S / 3600:.0f} hours of audio")
        await session.room()
    session.finish()
    return given * RATE // source.audio.bytes_per_second


def _cut_off(closed: Closed) -> Refused:
    """A session that ends early without a problem does so because the daemon does: half a text is none."""
    problem = closed.problem or Problem(Kind.SHUTTING_DOWN)
    return Refused(problem.kind, problem.detail)


async def _in_thread(work: Callable[..., Result], *arguments: object) -> Result:
    """The result of ``work``. Cancelled, it waits for the thread first, which must not lose its file while it reads."""
    task = asyncio.create_task(asyncio.to_thread(work, *arguments))
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        task.exception()  # looked at, so that nobody complains that it was not
        raise asyncio.CancelledError
    return task.result()
