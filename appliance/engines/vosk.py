"""Vosk. One loaded model serves any number of streams; the library frees the GIL while it computes.

Partials are the best path as text: they come 0.2 s after a word, where Vosk's own partial words come 0.4 to 1.5 s
late and cost several times the processor time. The times of their words are estimates; those of finals are Vosk's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from appliance.core.events import RATE, Word
from appliance.core.ports import Capabilities, Hypothesis, Samples
from appliance.core.problems import Kind, Refused
from appliance.engines.registry import ModelSpec

LAG = RATE // 5
"""A word shows in the best path this long after its end (median, measured)."""
UNKNOWN = "[unk]"
"""What a grammar that allows it gives for speech outside of it."""


class VoskRecognizer:
    """A Vosk model folder, loaded. Raises ``OSError`` with the reason when it cannot be."""

    def __init__(self, spec: ModelSpec) -> None:
        import vosk

        path = Path(spec.path) if spec.path else None

        vosk.SetLogLevel(-2)
        self._vosk = vosk
        if path is None or not path.is_dir():
            raise OSError(f"the model folder {path or ''} is missing")
        try:
            self._model = vosk.Model(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise OSError(f"Vosk could not read the model in {path}: {error}") from error
        graph = path / "graph" if (path / "graph").is_dir() else path
        self.capabilities = Capabilities(
            engine="vosk",
            model=spec.name,
            language=spec.language,
            grammar=(graph / "HCLr.fst").exists() and (graph / "Gr.fst").exists(),
            word_confidence=True,
            sessions_per_worker=64,
            streams_per_core=8,
        )

    def prepare(self) -> None:
        """Nothing: forked processes share the model."""

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> VoskStream:
        """A stream of its own recogniser (0.6 MB, 0.3 ms). Refused when no phrase can be recognised."""
        grammar = self.grammar(phrases)
        recognizer = (
            self._vosk.KaldiRecognizer(self._model, RATE, grammar)
            if grammar
            else self._vosk.KaldiRecognizer(self._model, RATE)
        )
        recognizer.SetWords(True)
        return VoskStream(self, recognizer)

    def grammar(self, phrases: tuple[str, ...]) -> str:
        """The phrases as Vosk takes them, empty for free speech. Phrases with words the model lacks are left out."""
        if not phrases:
            return ""
        if not self.capabilities.grammar:
            raise Refused(Kind.BAD_OPTION, f"the model {self.capabilities.model} takes no phrase list")
        known = [phrase for phrase in phrases if phrase.strip() and not self._missing(phrase)]
        if not [phrase for phrase in known if phrase != UNKNOWN]:
            missing = sorted({word for phrase in phrases for word in self._missing(phrase)})
            raise Refused(Kind.BAD_OPTION, f"the model does not know the words {', '.join(missing[:10])}")
        return json.dumps(known)

    def _missing(self, phrase: str) -> list[str]:
        return [word for word in phrase.split() if self._model.vosk_model_find_word(word) < 0]


class VoskStream:
    """One session's recogniser, used for one utterance after the other."""

    def __init__(self, owner: VoskRecognizer, recognizer: Any) -> None:
        self._owner = owner
        self._recognizer = recognizer
        self._before = 0
        self._fed = 0
        self._done: tuple[Word, ...] = ()
        self._shown: list[Word] = []

    def accept(self, samples: Samples) -> None:
        self._fed += len(samples)
        if self._recognizer.AcceptWaveform(samples.tobytes()):
            self._done = (*self._done, *self._words(self._recognizer.Result()))
            self._shown = []

    def partial(self) -> Hypothesis:
        """The best path so far; words keep the times they were first given."""
        texts = json.loads(self._recognizer.PartialResult()).get("partial", "").split()
        texts = [text for text in texts if text != UNKNOWN]
        same = 0
        while same < min(len(texts), len(self._shown)) and self._shown[same].text == texts[same]:
            same += 1
        del self._shown[same:]
        begin = self._shown[-1].end if self._shown else self._done[-1].end if self._done else 0
        step = max(0, self._fed - LAG - begin) // max(1, len(texts) - same)
        for text in texts[same:]:
            self._shown.append(Word(text, begin, begin + step, 1.0))
            begin += step
        return Hypothesis((*self._done, *self._shown))

    def finish(self) -> Hypothesis:
        words = (*self._done, *self._words(self._recognizer.FinalResult())) if self._fed else ()
        self._before += self._fed
        self._fed = 0
        self._done = ()
        self._shown = []
        return Hypothesis(words)

    def grammar(self, phrases: tuple[str, ...]) -> None:
        # The library aborts the process unless the utterance is over and the text a non-empty array of strings.
        self._recognizer.Reset()
        self._recognizer.SetGrammar(self._owner.grammar(phrases) or "[]")

    def close(self) -> None:
        self._recognizer = None

    def _words(self, result: str) -> list[Word]:
        """Vosk counts seconds from its first sample, over all utterances."""
        return [
            Word(
                item["word"],
                max(0, round(item["start"] * RATE) - self._before),
                max(0, round(item["end"] * RATE) - self._before),
                min(1.0, item["conf"]),
            )
            for item in json.loads(result).get("result", ())
            if item["word"] != UNKNOWN
        ]
