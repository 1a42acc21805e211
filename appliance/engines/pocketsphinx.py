"""pocketsphinx: the embedded default, because its wheel carries a US English model. A decoder is one utterance."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from appliance.core.events import RATE, Word
from appliance.core.ports import Capabilities, Hypothesis, Samples
from appliance.core.problems import Kind, Refused

FRAME = RATE // 100
"""Samples of one decoder frame."""
NO_WORD = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")
"""Silence, noise and sentence marks in a segmentation."""
VARIANT = re.compile(r"\(\d+\)$")
"""The number of an alternative pronunciation."""
WORD = re.compile(r"^[\w'.-]+$")
FREE, CLOSED = "_default", "phrases"


class PocketsphinxRecognizer:
    """A loaded decoder. Only one stream at a time may use it: give it a process of its own.

    ``path`` is a folder with ``en-us`` style files, or ``None`` for the model in the wheel.
    """

    def __init__(self, name: str, language: str, path: Path | None = None) -> None:
        import pocketsphinx

        model = str(path) if path else pocketsphinx.get_model_path("en-us")
        try:
            self._decoder = pocketsphinx.Decoder(
                samprate=float(RATE),
                loglevel="FATAL",
                hmm=f"{model}/en-us",
                lm=f"{model}/en-us.lm.bin",
                dict=f"{model}/cmudict-en-us.dict",
            )
        except RuntimeError as error:
            raise OSError(f"pocketsphinx could not read the model in {model}: {error}") from error
        self._mean = self._decoder.get_cmn(False)
        self.capabilities = Capabilities(
            engine="pocketsphinx",
            model=name,
            language=language,
            grammar=True,
            word_confidence=True,
            sessions_per_worker=1,
            streams_per_core=3,
        )

    def stream(self, phrases: tuple[str, ...] = ()) -> PocketsphinxStream:
        """The decoder with nothing left of whoever used it before: its front end and channel estimate start afresh."""
        self._decoder.reinit_feat()
        self._decoder.set_cmn(self._mean)
        stream = PocketsphinxStream(self._decoder)
        stream.grammar(phrases)
        return stream


class PocketsphinxStream:
    """The one stream of a decoder."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._running = False

    def accept(self, samples: Samples) -> None:
        if not self._running:
            self._decoder.start_utt()
            self._running = True
        self._decoder.process_raw(samples.tobytes(), False, False)

    def partial(self) -> Hypothesis:
        return self._hypothesis() if self._running else Hypothesis()

    def finish(self) -> Hypothesis:
        """Ends the utterance; the second pass over it takes about a quarter of what the first took."""
        if not self._running:
            return Hypothesis()
        self._decoder.end_utt()
        self._running = False
        return self._hypothesis()

    def grammar(self, phrases: tuple[str, ...]) -> None:
        if not phrases:
            self._decoder.activate_search(FREE)
            return
        known = [phrase for phrase in (p.strip().lower() for p in phrases) if phrase and not self._missing(phrase)]
        if not known:
            missing = sorted({word for phrase in phrases for word in self._missing(phrase.lower())})
            raise Refused(Kind.BAD_OPTION, f"the model does not know the words {', '.join(missing[:10])}")
        alternatives = " | ".join(f"( {phrase} )" for phrase in known)
        self._decoder.add_jsgf_string(CLOSED, f"#JSGF V1.0; grammar phrases; public <phrases> = ( {alternatives} )+ ;")
        self._decoder.activate_search(CLOSED)

    def close(self) -> None:
        if self._running:
            self._decoder.end_utt()
            self._running = False

    def _missing(self, phrase: str) -> list[str]:
        """Words that the dictionary lacks, or that would mean something in a grammar."""
        return [word for word in phrase.split() if not WORD.match(word) or self._decoder.lookup_word(word) is None]

    def _hypothesis(self) -> Hypothesis:
        if self._decoder.hyp() is None:
            return Hypothesis()
        return Hypothesis(
            tuple(
                Word(
                    VARIANT.sub("", part.word),
                    part.start_frame * FRAME,
                    (part.end_frame + 1) * FRAME,
                    min(1.0, max(0.0, part.prob)),
                )
                for part in self._decoder.seg() or ()
                if not NO_WORD.match(part.word)
            )
        )
