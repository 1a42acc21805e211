"""Adapter of Whisper models in CTranslate2's format to ``appliance.core.ports.Recognizer``."""

from __future__ import annotations

import mmap
from pathlib import Path

import msgspec

from appliance.core.options import MULTILINGUAL
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.engines.registry import ModelSpec
from appliance.engines.whisper.decoder import Decoder
from appliance.engines.whisper.stream import WhisperStream
from appliance.engines.whisper.vocabulary import Vocabulary

UTTERANCE_S = 8.0
"""Utterances shorter than this go on over a pause: the decoder writes better with more context."""


PRE_ROLL_MS = 800
"""The decoder writes better when it sees how the speech begins: 20.8 % of the words of the development recordings were
wrong instead of 21.9 % at 480 ms."""
PEAK = 2.7
"""Peak memory of a worker over the size of an int8 ``model.bin``: 108 MiB for 40 MiB while 11 s are aligned."""


class WhisperRecognizer:
    """A model folder: ``model.bin``, ``config.json``, ``tokenizer.json`` and ``vocabulary.json`` or ``.txt``.

    The constructor checks the files and reads the tokenizer. The model itself is loaded by ``prepare``, or by the
    first stream, because CTranslate2 starts threads that do not survive a fork.
    Raises ``OSError`` with the reason when the folder cannot be used.
    """

    def __init__(self, spec: ModelSpec, threads: int = 1) -> None:
        self._folder = Path(spec.path or "")
        for name in ("model.bin", "config.json"):
            if not (self._folder / name).is_file() or not (self._folder / name).stat().st_size:
                raise OSError(f"{name} is missing or empty in {self._folder}")
        try:
            msgspec.json.decode((self._folder / "config.json").read_bytes(), type=dict)
        except msgspec.MsgspecError as error:
            raise OSError(f"config.json cannot be read: {error}") from error
        self.vocabulary = Vocabulary(self._folder)
        self.partial_share = spec.partial_share
        self.speaking = 0
        """Streams with an open utterance in this process."""
        self._context = spec.context
        self._threads = threads
        self._decoder: Decoder | None = None
        languages = tuple(self.vocabulary.languages)
        first = spec.language if spec.language in languages else "en"
        self._default = (first,) if first == spec.language else languages
        """Languages to choose among for a session that names none."""
        self.capabilities = Capabilities(
            engine="whisper",
            model=spec.name,
            language=first,
            languages=(first, *(language for language in languages if language != first)),
            grammar=False,
            word_confidence=True,
            sessions_per_worker=64,
            streams_per_core=4,
            utterance_s=UTTERANCE_S,
            pre_roll_ms=PRE_ROLL_MS,
            fork_safe=False,
            worker_mib=int(PEAK * _int8_bytes(self._folder)) >> 20,
        )

    def prepare(self) -> None:
        """Load the model into this process: 0.1 s and 66 MiB for tiny. Raises ``OSError``, ``MemoryError``."""
        self.decoder()

    def decoder(self) -> Decoder:
        """Return the loaded model of this process."""
        if self._decoder is None:
            self._decoder = Decoder(self._folder, self.vocabulary, self._context, self._threads)
        return self._decoder

    def stream(self, phrases: tuple[str, ...] = (), languages: tuple[str, ...] = ()) -> WhisperStream:
        """Return a stream that chooses among ``languages``; none means the one that the model was loaded for."""
        if MULTILINGUAL in languages:
            languages = tuple(self.vocabulary.languages)
        known = tuple(language for language in languages if language in self.vocabulary.languages)
        if languages and not known:
            raise Refused(Kind.NO_MODEL, f"{self.capabilities.model} does not know {', '.join(languages)}")
        stream = WhisperStream(self, known or self._default)
        stream.grammar(phrases)
        return stream


def _int8_bytes(folder: Path) -> int:
    """Return about how many bytes the weights have as int8. A model of int8 names its scales; float16 has none."""
    path = folder / "model.bin"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        int8 = content.find(b"weight_scale") >= 0
    return path.stat().st_size // (1 if int8 else 2)
