"""A recording in a file, as a session takes it: s16le, mono, 16 kHz, piece by piece. For uploads and the command line.

The file is decoded by a child process with limits (``appliance.media.child``); this side only reads samples.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType

import msgspec

from appliance import interpreter
from appliance.core.options import AudioFormat
from appliance.media.messages import HEADER, Ended, Kind, Opened, header

STALL_S = 30.0
"""Without a byte from the decoder, after which it is ended. It delivers a quarter of a second of audio at a time."""
CPU_S = 60
"""Processor time of the decoder, plus a second for each ``CPU_BYTES``. An hour of MP3 takes 2 s on a PC."""
CPU_BYTES = 50_000
PIPE_BYTES = 65_536
"""Bytes read from the decoder at a time: what a pipe holds."""
LONGEST_TEXT = 200
"""Characters of the decoder's own words that are passed on."""

FAILED = "the decoder failed on this file"


class Unreadable(Exception):
    """The recording cannot be decoded at all; the message says why."""


class Recording:
    """An open recording. Not for two threads at a time, except ``close``.

    ``audio`` is the format of what ``read`` returns. ``duration_s`` is the duration that the file states or an
    estimate, ``None`` if it is unknown. ``shortfall`` says what is missing, in words; it is known at the end, and empty
    for a complete recording.
    """

    def __init__(self, source: Path | int) -> None:
        """``source`` is a path, or the descriptor of a file, which stays the caller's and is read from its beginning.

        Raises ``Unreadable``.
        """
        self.audio = AudioFormat()
        self.shortfall = ""
        self._got = 0
        self._left = b""
        self._ended = False
        self._decoder = _start(source)
        try:
            kind, body = self._message()
            if kind is Kind.ENDED:
                raise Unreadable(plain(msgspec.json.decode(body, type=Ended).shortfall))
            self.opened = msgspec.json.decode(body, type=Opened)
        except (ValueError, msgspec.MsgspecError) as error:
            self.close()
            raise Unreadable(FAILED) from error
        except Unreadable:
            self.close()
            raise
        self.duration_s = self.opened.duration_s

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, longest_s: float) -> bytes:
        """Return the next samples, at most ``longest_s`` seconds of them; none at the end.

        Raises ``Unreadable`` if the file had something wrong and not one sample could be decoded.
        """
        wanted = max(1, int(longest_s * self.audio.rate)) * self.audio.frame_bytes
        pieces, size = [self._left], len(self._left)
        while size < wanted and not self._ended:
            pieces.append(self._audio())
            size += len(pieces[-1])
        data = b"".join(pieces)
        self._left = data[wanted:]
        self._got += min(size, wanted)
        if self._ended and self.shortfall and not self._got:
            raise Unreadable(self.shortfall)
        return data[:wanted]

    def close(self) -> None:
        """End the decoder, whatever it does."""
        self._ended = True
        if self._decoder.poll() is None:
            self._decoder.kill()
        self._decoder.wait()
        if self._decoder.stdout is not None and not self._decoder.stdout.closed:
            self._decoder.stdout.close()

    def _audio(self) -> bytes:
        """The samples of the next message; none when it is the last one."""
        try:
            kind, body = self._message()
            if kind is Kind.AUDIO:
                return body
            self.shortfall = plain(msgspec.json.decode(body, type=Ended).shortfall)
        except Unreadable as error:
            self.shortfall = str(error)
        except (ValueError, msgspec.MsgspecError):
            self.shortfall = FAILED
        self._ended = True
        return b""

    def _message(self) -> tuple[Kind, bytes]:
        """The next message. Raises ``Unreadable`` when the decoder hangs or ends without its last message."""
        kind, size = header(self._exactly(HEADER.size))
        return kind, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        assert self._decoder.stdout is not None
        descriptor = self._decoder.stdout.fileno()
        data = bytearray()
        deadline = time.monotonic() + STALL_S
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while len(data) < size:
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise Unreadable(f"the decoder made no progress for {STALL_S:.0f} s")
            piece = os.read(descriptor, min(size - len(data), PIPE_BYTES))
            if not piece:
                raise Unreadable(self._epitaph())
            data += piece
        return bytes(data)

    def _epitaph(self) -> str:
        """Why the decoder is gone, for people."""
        code = self._decoder.wait()
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "the decoder was ended: it took too much time or memory"
        return FAILED


def _start(source: Path | int) -> subprocess.Popen[bytes]:
    """The decoder process. Raises ``Unreadable``."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC) if isinstance(source, Path) else source
    except OSError as error:
        raise Unreadable((error.strerror or "cannot be opened").lower()) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("a folder, not a file; name the files in it")
        cpu_s = CPU_S + status.st_size // CPU_BYTES
        return subprocess.Popen(
            interpreter.command("appliance.media.child", str(cpu_s)),
            stdin=descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            bufsize=0,
        )
    except OSError as error:
        raise Unreadable(f"no decoder can be started: {error.strerror}") from error
    finally:
        if isinstance(source, Path):
            os.close(descriptor)


def plain(text: str) -> str:
    """Make text of the decoder, which a file may have taken over, fit for a header, a log and a terminal."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[:LONGEST_TEXT])


def environment() -> dict[str, str]:
    """What Python needs to start, and nothing else of the environment, which may hold secrets."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LC_", "LANG", "LD_"))}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PATH": os.defpath}
