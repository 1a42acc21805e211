"""A session with everything around it that a test wants to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import structs

from appliance.core.events import AnyEvent, Final, Word
from appliance.core.options import AudioFormat, Changes, Endpointing, Mode, SessionOptions
from appliance.core.ports import Capabilities, Evidence, Hypothesis
from appliance.core.segment import Origin
from appliance.core.session import Session
from appliance.engines.fake import FakeRecognizer, FakeStream, Script
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


class Drafter(Recorder):
    """A recorder that decodes utterances as a whole: it keeps short ones open over a pause and is asked for drafts.

    ``final_s``: what a final takes. ``hears``: the words of each utterance; none means one word, as a ``Recorder``.
    """

    def __init__(
        self,
        *,
        utterance_s: float = 8.0,
        final_s: float = 0.1,
        language: str = "",
        hears: Sequence[str] = (),
        evidence: Evidence | None = None,
        earlier: tuple[tuple[int, Evidence], ...] = (),
    ) -> None:
        super().__init__()
        self.capabilities = structs.replace(Recorder.capabilities, utterance_s=utterance_s)
        self.context: tuple[int, ...] = ()
        self.drafts: list[int] = []
        """Samples of the utterance at each draft."""
        self._final_s = final_s
        self._hears = hears
        self._about = {"language": language, "evidence": evidence, "earlier": earlier}
        self._drafted = False

    def accept(self, samples: np.ndarray) -> None:
        super().accept(samples)
        self._drafted = False

    def finish_s(self) -> float:
        return 0.0 if self._drafted else self._final_s

    def draft(self) -> Hypothesis:
        assert not self._drafted, "a draft is asked for once"
        self._drafted = True
        length = sum(map(len, self._open))
        self.drafts.append(length)
        return self._hypothesis(len(self.utterances) + 1, length)

    def finish(self) -> Hypothesis:
        super().finish()
        self._drafted = False
        return self._hypothesis(len(self.utterances), len(self.utterances[-1]))

    def _hypothesis(self, number: int, length: int) -> Hypothesis:
        texts = self._hears or (f"u{number}",)
        step = length // len(texts)
        words = tuple(Word(text, at * step, (at + 1) * step, 0.5) for at, text in enumerate(texts))
        return Hypothesis(words, **self._about)  # type: ignore[arg-type]


class WholeFake(FakeRecognizer):
    """The fake recogniser as one that decodes utterances of up to 2 s as a whole, and knows of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = structs.replace(self.capabilities, utterance_s=2.0)

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> WholeFakeStream:
        return WholeFakeStream(Script(), phrases)


class WholeFakeStream(FakeStream):
    context: tuple[int, ...] = ()
    """How many words the utterance before has."""

    def partial(self) -> Hypothesis:
        before = "".join(map(str, self.context))
        return Hypothesis(tuple(structs.replace(word, text=word.text + before) for word in super().partial().words))

    def finish(self) -> Hypothesis:
        heard = super().finish()
        self.context = (len(heard.words),) if heard.words else ()
        return heard

    def draft(self) -> Hypothesis:
        return self.partial()

    def finish_s(self) -> float:
        return 0.1


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
