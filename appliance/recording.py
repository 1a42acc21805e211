"""A recording in a file, as a session takes it: s16le, mono, piece by piece. For uploads and for the command line.

libsndfile decodes WAV, FLAC, Ogg (Vorbis, Opus), MP3 and the other formats it knows; it is loaded with the first file.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from pathlib import Path
from types import TracebackType

import numpy as np

from appliance.audio.pcm import as_int16
from appliance.core.options import AudioFormat

LOWEST, HIGHEST = 4_000, 192_000
"""Sample rates in Hz of recordings of speech; a header that says less makes a day out of a minute."""
VALUES = 1 << 20
"""Read at a time, at most: a file may have a thousand channels."""
HEADER = 65_536
"""Bytes; what says that it is empty and is larger than this is not."""


class Unreadable(Exception):
    """A file that is missing, no audio, of an unknown format, or damaged; the message says which."""


class Recording:
    """An open recording. ``source`` is a path, or the descriptor of a file, which stays the caller's.

    Raises ``Unreadable``. Not for two threads at a time.
    """

    def __init__(self, source: Path | int) -> None:
        import soundfile

        _silence()
        try:
            self._file = soundfile.SoundFile(source, closefd=False)
        except (OSError, RuntimeError) as error:
            raise Unreadable("not readable as audio; WAV, FLAC, Ogg and MP3 are") from error
        self.audio = AudioFormat(rate=self._file.samplerate)
        self.duration_s: float = self._file.frames / self._file.samplerate
        """As its header says; lossy files may turn out a little different."""
        problem = self._problem(os.stat(source).st_size)
        if problem:
            self.close()
            raise Unreadable(problem)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, longest_s: float) -> bytes:
        """The next samples, at most so many seconds of them; nothing at the end. Raises ``Unreadable``."""
        count = max(1, min(int(longest_s * self.audio.rate), VALUES // self._file.channels))
        try:
            samples = self._file.read(count, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            raise Unreadable(f"damaged after {self._file.tell() / self.audio.rate:.1f} s") from error
        # As floats, because libsndfile cuts float files to whole numbers and wraps what lossy codecs overshoot.
        sane = np.clip(np.nan_to_num(samples, posinf=1.0, neginf=-1.0), -1.0, 1.0)
        return as_int16(sane.mean(axis=1, dtype=np.float32)).astype("<i2").tobytes()

    def close(self) -> None:
        self._file.close()

    def _problem(self, size: int) -> str:
        """What makes the file useless although it has a header."""
        if not LOWEST <= self.audio.rate <= HIGHEST:
            return f"a sample rate of {self.audio.rate} Hz; {LOWEST} to {HIGHEST} are possible"
        if not self.duration_s and size > HEADER:
            return "its header says that it is empty, and it is not: whatever wrote it could not complete it"
        return ""


@functools.cache
def _silence() -> None:
    """Send what C libraries of this process write to their ``stderr`` to /dev/null.

    The MP3 decoder in libsndfile (mpg123) tells there of each frame that it cannot read: 123 kB of log for one broken
    file. libsndfile has no switch for that. File descriptor 2 stays as it is, and so do Python's own messages. Done
    with the GNU C library only, where ``stderr`` is a variable.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - raises AttributeError with another library
        library.fopen.restype = ctypes.c_void_p
        nowhere = library.fopen(b"/dev/null", b"w")
        if nowhere:
            ctypes.c_void_p.in_dll(library, "stderr").value = nowhere
