"""One decode of one utterance: encoder context, prompt, runaway protection, language, word times."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from msgspec import Struct, structs

from appliance.core.events import RATE
from appliance.core.ports import Evidence
from appliance.engines.registry import Context
from appliance.engines.whisper.features import FRAMES_PER_SECOND, HOP, Spectrogram
from appliance.engines.whisper.vocabulary import Vocabulary

LONGEST_FRAMES = 3_000
"""Frames that the encoder takes at most: 30 s."""
TOKENS_PER_SECOND, SPARE_TOKENS = 8, 20
"""Bound of a decode's length; fast speech has about 6 tokens a second. Reaching it means that the decoder runs away."""
RUNAWAY_RATIO = 2.4
"""Compression ratio of text above which the decoder repeats itself (OpenAI's ``whisper/transcribe.py``)."""
SHORT_TEXT = 48
"""Characters below which a compression ratio says nothing."""
LOOPS = 3
"""Repetitions of the same tokens at the end of a text that count as a loop."""


class Decoded(Struct, frozen=True):
    """Text tokens of one utterance, with what is needed to align and to judge them."""

    tokens: list[int]
    language: str
    evidence: Evidence
    runaway: bool
    encoded: Any
    """The encoder's output."""
    frames: int
    """Frames of audio, without the silence after it."""


class Alignment(Struct, frozen=True):
    """For each text token and the end token: the sample at which it starts; for each text token: its probability."""

    starts: list[int]
    probabilities: list[float]


class Decoder:
    """A loaded model. Loading starts threads, so it must happen after any fork.

    Raises ``OSError`` when the files cannot be loaded, ``MemoryError`` when there is too little memory.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary, context: Context, threads: int = 1) -> None:
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        self._vocabulary = vocabulary
        self._context = context

    @property
    def bins(self) -> int:
        """Mel bins of the features that the model takes."""
        return int(self._model.n_mels)

    def encode(self, audio: Spectrogram, frames: int) -> Any:
        """Run the encoder over ``frames`` frames of an utterance and the silence after it."""
        features = audio.features(frames)[np.newaxis]
        return self._model.encode(ctranslate2.StorageView.from_array(features))

    def decode(
        self,
        audio: Spectrogram,
        languages: Sequence[str],
        *,
        prompt: Sequence[int] = (),
        forced: Sequence[int] = (),
    ) -> Decoded:
        """Decode the utterance; once more with a longer context when the decoder runs away.

        ``languages``: one fixes the language, several are compared. ``prompt``: tokens of the text before the
        utterance. ``forced``: tokens with which the text begins.
        """
        short, long = contexts(audio.samples, self._context)
        decoded = self._once(audio, short, languages, prompt, forced)
        if decoded.runaway and long > short:
            again = self._once(audio, long, languages, (), ())
            decoded = again if not again.runaway or len(again.tokens) < len(decoded.tokens) else decoded
        if decoded.runaway:
            tokens = without_loop(decoded.tokens)
            decoded = structs.replace(decoded, tokens=tokens)
        return decoded

    def _once(
        self, audio: Spectrogram, context: int, languages: Sequence[str], prompt: Sequence[int], forced: Sequence[int]
    ) -> Decoded:
        encoded = self.encode(audio, context)
        language = languages[0] if len(languages) == 1 else self._detect(encoded, languages)
        before = [self._vocabulary.previous, *prompt] if prompt else []
        start = [*before, *self._vocabulary.opening(language), self._vocabulary.untimed, *forced]
        bound = int(audio.samples / RATE * TOKENS_PER_SECOND) + SPARE_TOKENS
        # CTranslate2 writes half of ``max_length`` at most, forced tokens included, no more than it with the prompt.
        result = self._model.generate(
            encoded,
            [start],
            beam_size=1,
            max_length=bound + max(bound, len(start)),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = [
            token for token in result.sequences_ids[0] if token < self._vocabulary.end
        ]  # the forced ones included
        text = self._vocabulary.text(tokens)
        ratio = compression(text)
        evidence = Evidence(
            no_speech=result.no_speech_prob, log_probability=result.scores[0], compression=ratio, tokens=len(tokens)
        )
        runaway = len(result.sequences_ids[0]) >= bound or ratio > RUNAWAY_RATIO
        frames = min(context, -(-audio.samples // HOP))
        return Decoded(tokens, language, evidence, runaway, encoded, frames)

    def _detect(self, encoded: Any, languages: Sequence[str]) -> str:
        scores = {token[2:-2]: score for token, score in self._model.detect_language(encoded)[0]}
        return max(languages or scores, key=lambda language: scores.get(language, 0.0))

    def detect(self, audio: Spectrogram) -> dict[str, float]:
        """Return the probability of each language of the model for this utterance."""
        encoded = self.encode(audio, contexts(audio.samples, self._context)[0])
        return {token[2:-2]: score for token, score in self._model.detect_language(encoded)[0]}

    def align(self, decoded: Decoded) -> Alignment:
        """Place the text tokens in time by the decoder's cross attention."""
        found = self._model.align(
            decoded.encoded, self._vocabulary.opening(decoded.language), [decoded.tokens], decoded.frames
        )[0]
        starts: list[int] = []
        for token, frame in found.alignments:
            if token == len(starts):
                starts.append(frame * 2 * HOP)  # the encoder halves the frame rate
        while len(starts) <= len(decoded.tokens):
            starts.append(decoded.frames * HOP)
        return Alignment(starts, list(found.text_token_probs))


def contexts(samples: int, context: Context) -> tuple[int, int]:
    """Return frames of the shortest context for so much audio and of the longer one for a second try; both even."""
    speech_s = samples / RATE
    short = max(context.shortest_s, speech_s + context.margin_s)
    long = max(12.0, speech_s + 2.0) if short < 12.0 else LONGEST_FRAMES / FRAMES_PER_SECOND
    return _even(short), _even(max(short, long))


def _even(seconds: float) -> int:
    return min(LONGEST_FRAMES, int(seconds * FRAMES_PER_SECOND) // 2 * 2)


def compression(text: str) -> float:
    """Return how many times shorter zlib makes the text; 1 for a text that is too short to say."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if len(text) >= SHORT_TEXT else 1.0


def without_loop(tokens: Sequence[int]) -> list[int]:
    """Return the tokens with a repetition at their end said once."""
    for size in range(1, len(tokens) // LOOPS + 1):
        unit = tokens[-size:]
        start = len(tokens) - size
        while start >= size and list(tokens[start - size : start]) == list(unit):
            start -= size
        if len(tokens) - start >= LOOPS * size:
            return list(tokens[: start + size])
    return list(tokens)
