"""Voice probabilities to the start, the pauses and the end of speech. One frame in, at most one mark out."""

from __future__ import annotations

import enum
from typing import NamedTuple

from appliance.core.events import RATE
from appliance.core.options import Endpointing

HYSTERESIS = 0.15
"""How far below the threshold the probability must fall for voice to end (Silero's own post-processing)."""


class Turn(enum.Enum):
    """What changed with this frame."""

    START = enum.auto()
    """Speech began, at the first voiced frame."""
    PAUSE = enum.auto()
    """The speaker has been quiet for the hangover; the words so far can be settled."""
    RESUME = enum.auto()
    """Speech went on before the silence was long enough to end it."""
    END = enum.auto()
    """The silence was long enough; the mark says where voice was last heard."""


class Mark(NamedTuple):
    """A turn and where it is, in samples since session start."""

    turn: Turn
    at: int


class _State(enum.Enum):
    IDLE = enum.auto()
    SPEECH = enum.auto()
    PAUSE = enum.auto()


class Endpointer:
    """IDLE -start-> SPEECH -pause-> PAUSE -resume-> SPEECH; SPEECH or PAUSE -end-> IDLE.

    ``run`` is the sample where the voiced run that may become speech began, or ``None``; ``quiet`` is the current
    silence after speech, in samples. Both are for whoever must keep or cut audio.
    """

    def __init__(self, options: Endpointing, frame: int, origin: int = 0) -> None:
        self.run: int | None = None
        self.quiet = 0
        self._frame = frame
        self._position = origin
        self._state = _State.IDLE
        self._voiced = False
        self._heard = 0
        self._gap = 0
        self._last_voice = origin
        self.configure(options)

    @property
    def speaking(self) -> bool:
        """Speech has started and its end has not been told."""
        return self._state is not _State.IDLE

    def configure(self, options: Endpointing) -> None:
        """New limits, from the next frame on."""

        def samples(milliseconds: int) -> int:
            return max(self._frame, milliseconds * RATE // 1000)

        self._threshold = options.threshold
        self._release = max(options.threshold - HYSTERESIS, options.threshold / 2)
        self._min_speech = samples(options.min_speech_ms)
        self._min_silence = samples(options.min_silence_ms)
        self._hangover = max(samples(options.hangover_ms), self._min_silence)
        self._end = max(samples(options.silence_to_end_ms), self._min_silence)

    def step(self, probability: float) -> Mark | None:
        """The next frame's voice probability."""
        begin = self._position
        self._position += self._frame
        self._voiced = probability >= (self._release if self._voiced else self._threshold)
        if self._state is _State.SPEECH:
            return self._speech()
        started = self._listen(begin)
        if started is not None:
            turn = Turn.START if self._state is _State.IDLE else Turn.RESUME
            self._state = _State.SPEECH
            self.quiet = 0
            self._last_voice = self._position
            return Mark(turn, started)
        if self._state is _State.PAUSE:
            self.quiet += self._frame
            if self.quiet >= self._end and self.run is None:
                return self._ended()
        return None

    def resume(self, quiet: int) -> None:
        """Begin in the middle of speech, after so many samples of silence."""
        self._state = _State.SPEECH
        self._voiced = quiet == 0
        self.quiet = quiet
        self._last_voice = self._position - quiet

    def skip(self, samples: int) -> None:
        """Audio that was too short for a frame has gone by."""
        self._position += samples

    def force_end(self) -> int:
        """Forget the speech in progress; where voice was last heard."""
        return self._ended().at

    def _listen(self, begin: int) -> int | None:
        """Count voiced frames, over gaps shorter than ``min_silence``, until they are speech: where that began."""
        if self._voiced:
            if self.run is None:
                self.run, self._heard = begin, 0
            self._gap = 0
            self._heard += self._frame
            if self._heard >= self._min_speech:
                started, self.run = self.run, None
                return started
        elif self.run is not None:
            self._gap += self._frame
            if self._gap >= self._min_silence:
                self.run = None
        return None

    def _speech(self) -> Mark | None:
        if self._voiced:
            self.quiet = 0
            self._last_voice = self._position
            return None
        self.quiet += self._frame
        if self.quiet >= self._end:
            return self._ended()
        if self.quiet >= self._hangover:
            self._state = _State.PAUSE
            self.run = None
            return Mark(Turn.PAUSE, self._position)
        return None

    def _ended(self) -> Mark:
        self._state = _State.IDLE
        self.run = None
        self.quiet = 0
        return Mark(Turn.END, self._last_voice)
