"""One session's recogniser: when the open utterance is decoded, and what of it is kept for the next decode."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from appliance.core.events import RATE, Word
from appliance.core.ports import Evidence, Hypothesis, Samples
from appliance.core.problems import Kind, Refused
from appliance.engines.whisper.decoder import Decoded, Decoder
from appliance.engines.whisper.features import HOP, Spectrogram
from appliance.engines.whisper.vocabulary import Vocabulary
from appliance.engines.whisper.words import ENDS, aligned, estimated

LONGEST = 28 * RATE
"""Samples of one decode at most; the encoder takes 30 s."""
SEARCHED = 10 * RATE
"""Samples before ``LONGEST`` in which the quietest place is looked for."""
QUIET_FRAMES = 15
"""Frames (150 ms) over which the level is averaged when a quiet place is looked for."""
SHORTEST = RATE // 10
"""Samples below which there is nothing to decode: 100 ms."""
UNSURE = RATE * 12 // 10
"""Samples at the end of a partial whose words the next decode chooses again, although two decodes agreed on them: a
word that is cut off by the end of the audio can look like another one twice."""
CONTEXT_TOKENS = 48
"""Tokens of earlier text that the decoder sees: with them 21.7 % of the words of the development recordings are wrong
in sessions, without them 22.6 %, with 16 tokens 22.1 %."""
SWITCH = 0.25
"""Probability by which another language must lead before a session changes to it."""
Clock = Callable[[], float]


class Owner(Protocol):
    """What a stream needs of its recogniser."""

    vocabulary: Vocabulary
    partial_share: float
    speaking: int

    def decoder(self) -> Decoder: ...


class WhisperStream:
    """One utterance at a time. ``languages``: those to choose among; one of them is not a choice."""

    def __init__(self, owner: Owner, languages: Sequence[str], clock: Clock = time.perf_counter) -> None:
        self._owner = owner
        self._languages = tuple(languages)
        self._clock = clock
        self._language = self._languages[0]
        self._known = len(self._languages) == 1
        self._audio = Spectrogram(owner.decoder().bins)
        self._rate = 0.05
        """Seconds that a decode takes per second of audio, as last measured."""
        self._prompt: list[int] = []
        """The end of the text before the utterance."""
        self._text: list[int] = []
        """The utterance's own text, as last decoded in full."""
        self._begin()
        self._reset()

    def _begin(self) -> None:
        self._done: tuple[Word, ...] = ()
        """Words of the parts of the utterance that were cut off because it is long."""
        self._earlier: tuple[tuple[int, Evidence], ...] = ()
        self._offset = 0

    def _reset(self) -> None:
        self._shown: tuple[Word, ...] = ()
        self._forced: list[int] = []
        self._fixed = 0
        self._evidence: Evidence | None = None
        self._last: list[str] = []
        self._decoded_at = 0
        self._cost_s = 0.0
        self._draft: Hypothesis | None = None

    @property
    def context(self) -> tuple[int, ...]:
        """Tokens of the text before the utterance."""
        return tuple(self._prompt)

    @context.setter
    def context(self, tokens: tuple[int, ...]) -> None:
        self._prompt = list(tokens)

    def accept(self, samples: Samples) -> None:
        """Take the next samples of the utterance; an utterance of 28 s is decoded up to its quietest place."""
        if not self._audio.samples and len(samples):
            self._owner.speaking += 1
        self._audio.push(samples)
        self._draft = None
        while self._audio.samples >= LONGEST:
            self._cut()

    def partial(self) -> Hypothesis:
        """Return the words so far. They are decoded again when that is due: see ``due``."""
        if self.due():
            self._decode_partial()
        words = (*self._done, *self._moved(self._shown))
        return Hypothesis(words, self._language, self._evidence, len(self._done) + self._fixed, self._earlier)

    def due(self) -> bool:
        """Tell whether a partial may be decoded again: all partials of the process keep to their share of a core."""
        if self._audio.samples < SHORTEST or self._draft is not None:
            return False
        wait_s = self._cost_s * max(1, self._owner.speaking) / self._owner.partial_share
        return self._audio.samples - self._decoded_at > wait_s * RATE

    def finish_s(self) -> float:
        """Return the seconds that ``finish`` will take, estimated from earlier decodes."""
        return 0.0 if self._draft is not None else self._rate * (self._audio.samples / RATE + 1.0)

    def draft(self) -> Hypothesis:
        """Return the final words as they are if the utterance ends here; ``finish`` then costs nothing."""
        if self._draft is None:
            self._draft = self._decode_final()
            self._shown = tuple(_moved(word, -self._offset) for word in self._draft.words[len(self._done) :])
            self._last = [bare(word.text) for word in self._shown]  # or the next partial would take words back
            self._decoded_at = self._audio.samples
        return self._draft

    def finish(self) -> Hypothesis:
        """Return the final words of the utterance; the next one begins."""
        heard = self.draft() if self._audio.samples or self._done else Hypothesis()
        if self._audio.samples:
            self._owner.speaking -= 1
            self._remember()
        self._audio.clear()
        self._prompt = self._prompt if heard.words else []
        self._begin()
        self._reset()
        return heard

    def grammar(self, phrases: tuple[str, ...]) -> None:
        """Refuse phrase lists: the model writes free text."""
        if phrases:
            raise Refused(Kind.BAD_OPTION, "this model takes no phrase list; use a Vosk model for one")

    def close(self) -> None:
        """Forget the utterance."""
        if self._audio.samples:
            self._owner.speaking -= 1
        self._audio.clear()

    # decoding

    def _decode_partial(self) -> None:
        """Decode what was taken so far; show the words on which this decode and the one before agree."""
        began = self._clock()
        decoded = self._owner.decoder().decode(
            self._audio, self._candidates(), prompt=self._prompt, forced=self._forced
        )
        pieces = self._owner.vocabulary.words(decoded.tokens, decoded.language)
        keys = [bare(piece.text) for piece in pieces]
        agreed = common(keys, self._last)
        texts = [piece.text for piece in pieces[:agreed]]
        if texts:
            texts[-1] = texts[-1].rstrip(ENDS)  # the end of a sentence is known when the next word is
        self._shown = estimated(texts, self._shown, 0, self._audio.samples)
        sure = self._audio.samples - UNSURE
        self._fixed = sum(word.end <= sure for word in self._shown[:-1])
        self._forced = decoded.tokens[: pieces[self._fixed - 1].last] if self._fixed else []
        self._last = keys
        self._language = decoded.language
        self._evidence = decoded.evidence
        self._decoded_at = self._audio.samples
        self._cost_s = self._clock() - began

    def _decode_final(self) -> Hypothesis:
        if self._audio.samples < SHORTEST:
            return Hypothesis(self._done, self._language, earlier=self._earlier)
        began = self._clock()
        decoded, words = self._words()
        self._rate = (self._clock() - began) / (self._audio.samples / RATE + 1.0)
        words = (*self._done, *self._moved(words))
        return Hypothesis(words, decoded.language, decoded.evidence, earlier=self._earlier)

    def _words(self) -> tuple[Decoded, tuple[Word, ...]]:
        """Decode all that was taken, in the language that was found, and place its words."""
        decoder = self._owner.decoder()
        self._choose()
        decoded = decoder.decode(self._audio, (self._language,), prompt=self._prompt)
        self._text = decoded.tokens
        pieces = self._owner.vocabulary.words(decoded.tokens, decoded.language)
        if not pieces:
            return decoded, ()
        return decoded, aligned(pieces, decoder.align(decoded), self._audio.levels(), self._audio.samples)

    def _choose(self) -> None:
        """Decide the utterance's language; a session changes only to one that leads clearly."""
        if len(self._languages) == 1:
            return
        scores = self._owner.decoder().detect(self._audio)
        best = max(self._languages, key=lambda language: scores.get(language, 0.0))
        if not self._known or scores.get(best, 0.0) - scores.get(self._language, 0.0) >= SWITCH:
            self._prompt = self._prompt if best == self._language else []
            self._language = best
        self._known = True

    def _candidates(self) -> tuple[str, ...]:
        """A partial is written in the session's language once that is known."""
        return (self._language,) if self._known else self._languages

    def _cut(self) -> None:
        """Decode up to the quietest place of the last seconds, and go on behind it with that text as context."""
        first = (LONGEST - SEARCHED) // HOP
        smooth = np.convolve(
            self._audio.levels()[first : LONGEST // HOP], np.ones(QUIET_FRAMES) / QUIET_FRAMES, "valid"
        )
        place = (first + int(np.argmin(smooth)) + QUIET_FRAMES // 2) * HOP
        rest = self._audio.split(place)
        decoded, words = self._words()
        self._done = (*self._done, *self._moved(words))
        self._earlier = (*self._earlier, (len(words), decoded.evidence))
        self._remember()
        self._offset += place
        self._audio = rest
        self._reset()

    def _remember(self) -> None:
        """Keep the end of the text as context for what follows it: names, casing and style go on."""
        self._prompt = [*self._prompt, *self._text][-CONTEXT_TOKENS:]
        self._text = []

    def _moved(self, words: Sequence[Word]) -> tuple[Word, ...]:
        return tuple(_moved(word, self._offset) for word in words)


def bare(text: str) -> str:
    """Return a word without case and punctuation, for telling whether two decodes agree."""
    return "".join(filter(str.isalnum, text)).casefold()


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the prefix that both have."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _moved(word: Word, samples: int) -> Word:
    return Word(word.text, word.start + samples, word.end + samples, word.confidence)
