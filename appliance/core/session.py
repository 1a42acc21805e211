"""One stream, from bytes to events: decode, resample, frame, VAD, endpoint, recognise.

The recogniser decodes *utterances*: a voiced stretch with some audio before (pre-roll) and after it (hangover). The
client receives *segments*: one or more utterances up to the silence, commit or length that ends them.

An engine that decodes frame by frame finishes an utterance as soon as its hangover is over. An engine that decodes an
utterance as a whole (``Capabilities.utterance_s``) keeps a short utterance open over pauses: the audio of the pause is
held back, a draft of the final is computed shortly before the silence is complete, and it is discarded when speech goes
on. Either way the text is there when the segment's silence is complete.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import structs

from appliance.audio.frames import Framer
from appliance.audio.pcm import PcmDecoder, volume
from appliance.audio.resample import Resampler
from appliance.core.endpoint import Endpointer, Mark, Turn
from appliance.core.events import (
    RATE,
    AnyEvent,
    Cause,
    Closed,
    Committed,
    Final,
    Heard,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Word,
    joined,
)
from appliance.core.options import AudioFormat, Changes, Mode, SessionOptions
from appliance.core.plausibility import Voice, plausible
from appliance.core.ports import DraftStream, Hypothesis, Readable, Recognizer, Samples, Vad
from appliance.core.segment import Origin, Segment

ACCEPT_FRAMES = 4
"""Frames handed to the recogniser at a time. A fixed number, so that how audio arrives cannot change a result."""
WARM_UP_FRAMES = 16
"""Frames before the pre-roll that a session continuing this one should hear, for its VAD to settle (half a second)."""
SOFT_CUT = 0.9
"""Of the longest segment, after which the next short pause ends it."""
LONGEST_PAUSE = RATE
"""Samples of silence over which an utterance may stay open: with more, a decoder that sees it invents words."""
DRAFT_MARGIN = 1.25
"""A draft is begun so many times earlier than its expected duration before the silence is complete, ..."""
DRAFT_SLACK = RATE // 20
"""... and so many samples (50 ms) before that, for what else the worker does."""


class Session:
    """Events come from ``push``, ``commit``, ``configure`` and ``finish``, as iterators that must be exhausted.

    ``consumed`` is how many bytes went in. ``origin`` says how many of them will never matter again: a new session
    with that origin, given the rest, says what this one would have said.
    """

    def __init__(
        self,
        options: SessionOptions,
        recognizer: Recognizer,
        vad: Vad,
        *,
        readable: Readable | None = None,
        origin: Origin | None = None,
    ) -> None:
        start = origin or Origin()
        self.consumed = start.wire
        self._start = start
        self._readable = readable
        self._options = options
        self._language = recognizer.capabilities.language
        self._read(options.audio)
        self._framer = Framer(vad.frame)
        self._vad = vad
        self._position = start.position
        self._endpointer = Endpointer(options.endpointing, vad.frame, self._position)
        self._stream = recognizer.stream(options.phrases, options.languages)
        self._drafting = self._stream if isinstance(self._stream, DraftStream) else None
        if self._drafting is not None:
            self._drafting.context = start.context
        self._whole = int(recognizer.capabilities.utterance_s * RATE)
        self._least_pre_roll_ms = recognizer.capabilities.pre_roll_ms
        self._utterance: int | None = None
        self._paused = False
        """The open utterance waits in a pause; audio is held until speech goes on or the utterance ends."""
        self._voice = Voice()
        self._pending: list[Samples] = []
        self._since_partial = 0
        self._slower = 1
        self._tail: list[Samples] = []
        self._fed = self._position
        self._segments = start.segment
        self._segment = Segment(self._position)
        if start.quiet is not None:
            self._endpointer.resume(start.quiet)
            self._continue()

    def push(self, data: bytes, *, begins: bool = False) -> Iterator[AnyEvent]:
        """Audio in the client's format, any number of bytes; ``begins``: a message of the client begins with it.

        Raises ``Refused`` (BAD_AUDIO) for a WAV header that contradicts the format.
        """
        self.consumed += len(data)
        yield from self._hear(self._resampler.push(self._decoder.push(data, begins=begins)))
        if self._options.acknowledge:
            yield Heard(self.consumed)

    def commit(self) -> Iterator[AnyEvent]:
        """End the segment here, whoever speaks; exactly one ``Committed`` follows."""
        self._take_rest()
        empty = self._segment.opened is None
        yield from self._cut(Cause.COMMIT)
        yield Committed(self._position, empty)

    def configure(self, changes: Changes) -> Iterator[AnyEvent]:
        """New settings from here on; a new grammar ends the utterance in progress, not the segment."""
        known = {name: value for name, value in structs.asdict(changes).items() if value is not None}
        if known.pop("audio", None) is not None and not self.consumed:
            self._read(changes.audio or self._wire)
        self._options = structs.replace(self._options, **known)
        self._endpointer.configure(self._options.endpointing)
        if changes.phrases is not None:
            speaking = self._utterance is not None and not self._paused
            yield from self._settle()
            self._stream.grammar(changes.phrases)
            if speaking:
                self._open(self._position)

    def finish(self) -> Iterator[AnyEvent]:
        """The end of the audio: what is left is recognised, then ``Closed``. Nothing may follow."""
        yield from self._hear(self._resampler.push(self._decoder.flush()))
        yield from self._hear(self._resampler.flush())
        self._take_rest()
        yield from self._cut(Cause.FINISH)
        yield Closed(self._position)

    def ease(self, slower: int) -> None:
        """From here on partials come so many times more seldom than was asked for; 0: none. Finals are as ever."""
        self._slower = slower

    def close(self) -> None:
        """Give back the recogniser's stream."""
        self._stream.close()

    @property
    def origin(self) -> Origin:
        """Where a session may begin that goes on for this one. No later event depends on the bytes before it."""
        keep, quiet, context = self._segment.opened, self._segment.quiet, self._segment.context
        if keep is None:
            keep, quiet = max(self._fed, self._tail_start() - WARM_UP_FRAMES * self._vad.frame), None
            context = self._drafting.context if self._drafting is not None else ()
        samples = (keep - self._start.position) * self._wire.rate // RATE
        wire = self._start.wire + self._decoder.skipped(samples) + samples * self._wire.frame_bytes
        return Origin(max(self._start.wire, min(wire, self.consumed)), keep, self._segments, quiet, context)

    def _read(self, audio: AudioFormat) -> None:
        self._wire = audio
        self._decoder = PcmDecoder(audio, riff=self.consumed == 0)
        self._resampler = Resampler(audio.rate)

    # hearing

    def _hear(self, samples: Samples) -> Iterator[AnyEvent]:
        frames = self._framer.push(samples)
        quiet = self._options.endpointing.min_volume
        for frame, probability in zip(frames, self._vad.probabilities(frames), strict=True):
            if quiet and volume(frame) < quiet:
                probability = 0.0
            mark = self._endpointer.step(probability)
            self._position += len(frame)
            self._voice.add(probability)
            if self._utterance is None or self._paused:
                self._hold(frame, mark)
            else:
                self._pending.append(frame)
                yield from self._advance(len(frame))
            if mark is not None:
                yield from self._turn(mark)
            if self._paused:
                yield from self._wait()
            yield from self._cut_long()

    def _turn(self, mark: Mark) -> Iterator[AnyEvent]:
        match mark.turn:
            case Turn.START:
                yield SpeechStarted(mark.at)
                self._open(mark.at)
            case Turn.RESUME if self._paused:
                self._pending, self._tail, self._paused = self._tail, [], False
            case Turn.RESUME:
                self._open(mark.at)
            case Turn.PAUSE if self._utterance is not None and self._position - self._utterance < self._whole:
                self._accept()
                self._paused = True
            case Turn.PAUSE:
                yield from self._settle()
            case Turn.END:
                self._segment.heard_until = mark.at
                yield SpeechEnded(mark.at)
                if self._options.endpointing.mode is Mode.VAD:
                    yield from self._end_segment(Cause.SILENCE)
                else:
                    yield from self._settle()

    def _take_rest(self) -> None:
        """The samples that do not fill a frame still belong to what ends here."""
        rest = self._framer.take()
        if len(rest):
            self._position += len(rest)
            self._endpointer.skip(len(rest))
            (self._tail if self._utterance is None or self._paused else self._pending).append(rest)

    def _cut(self, cause: Cause) -> Iterator[AnyEvent]:
        if self._endpointer.speaking:
            self._segment.heard_until = self._endpointer.force_end()
            yield SpeechEnded(self._segment.heard_until)
        yield from self._end_segment(cause)

    def _cut_long(self) -> Iterator[AnyEvent]:
        """Cut a segment that is too long, at a pause if one comes in time; the speaker goes on unheeded."""
        if self._segment.opened is None:
            return
        length, longest = self._position - self._segment.opened, self._options.endpointing.longest_ms * RATE // 1000
        quiet = self._endpointer.quiet * 1000 // RATE >= max(1, self._options.endpointing.min_silence_ms)
        if length >= longest or (quiet and length >= longest * SOFT_CUT):
            speaking = self._utterance is not None and not self._paused
            self._segment.heard_until = self._position
            yield from self._end_segment(Cause.LONGEST)
            if speaking:
                self._continue()

    def _continue(self) -> None:
        """Go on in the middle of speech."""
        self._open(self._position)
        self._segment.quiet = self._endpointer.quiet

    # utterances

    def _hold(self, frame: Samples, mark: Mark | None) -> None:
        """Keep what a coming utterance may begin with; all of it when it comes now."""
        self._tail.append(frame)
        if mark is not None or self._paused:
            return
        run = self._endpointer.run
        keep = self._position - self._pre_roll() if run is None else run - self._pre_roll()
        while self._tail and self._tail_start() + len(self._tail[0]) <= keep:
            self._tail.pop(0)

    def _tail_start(self) -> int:
        return self._position - sum(map(len, self._tail))

    def _pre_roll(self) -> int:
        return max(self._options.endpointing.pre_roll_ms, self._least_pre_roll_ms) * RATE // 1000

    def _open(self, voice: int) -> None:
        """Begin an utterance with the pre-roll before ``voice``, as far as it is not yet with the recogniser."""
        held = self._tail_start()
        start = max(voice - self._pre_roll(), held)
        self._pending = [np.concatenate(self._tail)[start - held :]] if self._tail else []
        self._tail = []
        self._utterance = start
        self._voice = Voice(self._voice.recent)
        if self._segment.opened is None:
            self._segment.opened, self._segment.voice = start, voice
            if self._drafting is not None:
                self._segment.context = self._drafting.context

    def _advance(self, samples: int) -> Iterator[AnyEvent]:
        self._since_partial += samples
        if len(self._pending) >= ACCEPT_FRAMES:
            self._accept()
            if 0 < self._slower * self._options.partial_ms * RATE // 1000 <= self._since_partial:
                self._since_partial = 0
                yield from self._partial(self._stream.partial())

    def _accept(self) -> None:
        if self._pending:
            self._stream.accept(np.concatenate(self._pending))
            self._pending = []

    def _wait(self) -> Iterator[AnyEvent]:
        """In a pause of an open utterance: draft its final in time for the end of the silence, or settle it."""
        assert self._drafting is not None
        quiet = self._endpointer.quiet
        left = min(LONGEST_PAUSE, self._options.endpointing.silence_to_end_ms * RATE // 1000) - quiet
        lead_s = self._drafting.finish_s()
        if lead_s and left <= lead_s * DRAFT_MARGIN * RATE + DRAFT_SLACK:
            draft = self._drafting.draft()
            if self._slower and self._options.partial_ms:
                yield from self._partial(draft)
        if quiet >= LONGEST_PAUSE:
            yield from self._settle()

    def _settle(self) -> Iterator[AnyEvent]:
        """Finish the utterance; its words are now the segment's."""
        if self._utterance is not None:
            self._finish_utterance()
            if self._slower and self._options.partial_ms:
                yield from self._partial(Hypothesis())

    def _finish_utterance(self) -> None:
        self._accept()
        heard = self._stream.finish()
        words = self._timed(self._trusted(heard))
        self._segment.words = (*self._segment.words, *words)
        if words and heard.language:
            self._segment.language = heard.language
        self._fed = self._tail_start() if self._paused else self._position
        self._utterance, self._paused = None, False

    def _trusted(self, heard: Hypothesis) -> tuple[Word, ...]:
        """Return the words without those of parts whose evidence says that nobody spoke."""
        words: list[Word] = []
        at = 0
        for count, evidence in heard.earlier:
            if plausible(evidence, self._voice):
                words += heard.words[at : at + count]
            at += count
        if heard.evidence is None or plausible(heard.evidence, self._voice):
            words += heard.words[at:]
        return tuple(words)

    def _timed(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Words of the utterance, timed from session start."""
        offset = self._utterance or 0
        return tuple(
            structs.replace(word, start=word.start + offset, end=min(word.end + offset, self._position))
            for word in words
        )

    # segments

    def _partial(self, latest: Hypothesis) -> Iterator[Partial]:
        """The segment's settled words and the latest ones of its open utterance, if that is news."""
        segment = self._segment
        trusted = self._timed(self._trusted(latest))
        words = (*segment.words, *trusted)
        fixed = None
        if latest.fixed is not None:
            fixed = len(segment.words) + max(0, latest.fixed - (len(latest.words) - len(trusted)))
        shown, stable = segment.stability.update(words, self._position, fixed)
        text = joined(shown, latest.language or segment.language or self._language)
        if text and text != segment.told:
            segment.told = text
            yield Partial(self._segments, text, shown, stable, segment.voice, self._position)

    def _end_segment(self, cause: Cause) -> Iterator[AnyEvent]:
        if self._utterance is not None:
            self._finish_utterance()
        segment, self._segment = self._segment, Segment(self._position)
        words = segment.words
        if not words and not segment.told:
            return
        if self._readable is not None and self._options.numerals:
            words = self._readable(words, segment.language or self._language)
        language = segment.language or self._language
        text = joined(words, language)
        confidence = sum(word.confidence for word in words) / max(1, len(words))
        number, self._segments = self._segments, self._segments + 1
        end = max(segment.heard_until, *(word.end for word in words[-1:]), segment.voice)
        yield Final(number, text, words, confidence, language, segment.voice, end, cause)
