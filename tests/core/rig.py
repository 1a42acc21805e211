"""A session with everything around it that a test wants to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from appliance.core.events import AnyEvent, Final, Word
from appliance.core.options import AudioFormat, Changes, Endpointing, Mode, SessionOptions
from appliance.core.ports import Capabilities, Hypothesis
from appliance.core.segment import Origin
from appliance.core.session import Session
from appliance.engines.fake import FakeRecognizer
from appliance.vad.energy import EnergyModel

COMMIT = "commit"
Step = tuple[int, str | Changes]
"""A byte position, and what the client does there."""

LIMITS = {"min_speech_ms": 96, "min_silence_ms": 96, "pre_roll_ms": 320, "hangover_ms": 320, "silence_to_end_ms": 500}


def options(audio: AudioFormat | None = None, *, manual: bool = False, partial_ms: int = 250, **limits: object):
    """Session options, with the defaults' times spelled out."""
    mode = Mode.MANUAL if manual else Mode.VAD
    return SessionOptions(
        audio=audio or AudioFormat(), endpointing=Endpointing(mode=mode, **{**LIMITS, **limits}), partial_ms=partial_ms
    )


class Recorder:
    """A recogniser that keeps what it is given, utterance by utterance, and hears one word in each."""

    capabilities = Capabilities(
        engine="recorder",
        model="recorder",
        language="en",
        grammar=True,
        word_confidence=True,
        sessions_per_worker=1,
        streams_per_core=1,
    )

    def __init__(self, *, deaf: bool = False) -> None:
        self.utterances: list[np.ndarray] = []
        self.grammars: list[tuple[str, ...]] = []
        self.closed = 0
        self._deaf = deaf
        self._open: list[np.ndarray] = []

    def prepare(self) -> None:
        pass

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> Recorder:
        self.grammars.append(phrases)
        return self

    def accept(self, samples: np.ndarray) -> None:
        assert samples.dtype == np.int16
        assert samples.ndim == 1
        assert len(samples)
        self._open.append(samples.copy())

    def partial(self) -> Hypothesis:
        return Hypothesis()

    def finish(self) -> Hypothesis:
        heard = np.concatenate(self._open) if self._open else np.empty(0, np.int16)
        self._open = []
        self.utterances.append(heard)
        return Hypothesis(() if self._deaf else (Word(f"u{len(self.utterances)}", 0, len(heard), 0.5),))

    def grammar(self, phrases: tuple[str, ...]) -> None:
        assert not self._open, "a grammar is set between utterances only"
        self.grammars.append(phrases)

    def close(self) -> None:
        self.closed += 1

    def places(self, samples: np.ndarray) -> list[tuple[int, int]]:
        """Where in the input each utterance stands. Fails when one is not there, or not after the one before."""
        wire, end, found = samples.astype(np.int16).tobytes(), 0, []
        for utterance in self.utterances:
            at = wire.find(utterance.tobytes(), end * 2)
            assert at >= 0, "the recogniser got something twice, out of order, or that nobody sent"
            assert at % 2 == 0
            end = at // 2 + len(utterance)
            found.append((at // 2, end))
        return found


def new(wanted: SessionOptions, recognizer=None, *, origin: Origin | None = None, readable=None) -> Session:
    """A session with the fake recogniser and a level meter as its voice detector."""
    recognizer = recognizer or FakeRecognizer()
    return Session(wanted, recognizer, EnergyModel().stream(), origin=origin, readable=readable)


def origin(session: Session) -> Origin:
    """Where a session that continues this one begins."""
    return session.origin


def play(session: Session, wire: bytes, steps: Iterable[Step] = (), cuts: Sequence[int] = (), start: int = 0):
    """The events of the audio from byte ``start`` on, with the steps in their places; the session is not ended."""
    events: list[AnyEvent] = []
    waiting = sorted(((min(at, len(wire)), i, step) for i, (at, step) in enumerate(steps)), key=lambda row: row[:2])
    edges = {start, len(wire), *(at for at, _, _ in waiting), *cuts}
    position = start
    for edge in sorted(edge for edge in edges if start <= edge <= len(wire)):
        if edge > position:
            events += session.push(wire[position:edge])
            position = edge
        while waiting and waiting[0][0] <= position:
            step = waiting.pop(0)[2]
            events += session.commit() if step == COMMIT else session.configure(step)
    return events


def hear(wanted: SessionOptions, wire: bytes, steps: Iterable[Step] = (), cuts: Sequence[int] = (), recognizer=None):
    """All events of a whole session."""
    session = new(wanted, recognizer)
    return [*play(session, wire, steps, cuts), *session.finish()]


def of(kind: type, events: Iterable[AnyEvent]) -> list:
    return [event for event in events if isinstance(event, kind)]


def texts(events: Iterable[AnyEvent]) -> list[str]:
    return [event.text for event in of(Final, events)]
