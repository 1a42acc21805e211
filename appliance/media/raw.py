"""Samples in a file without a container around them, with the interface of ``Recording``."""

from __future__ import annotations

import os
from types import TracebackType

from appliance.core.options import AudioFormat


class RawRecording:
    """Samples from an open descriptor, which stays the caller's. Nothing states how many there should be."""

    def __init__(self, source: int, audio: AudioFormat) -> None:
        """``source`` is read from where it stands; ``audio`` says what its bytes mean."""
        self.audio = audio
        self.shortfall = ""
        self.duration_s: float | None = None
        self._source = source

    def __enter__(self) -> RawRecording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, longest_s: float) -> bytes:
        """Return the next bytes, at most ``longest_s`` seconds of audio; none at the end."""
        return os.read(self._source, int(longest_s * self.audio.rate) * self.audio.frame_bytes)

    def close(self) -> None:
        """Do nothing: the descriptor is the caller's."""
