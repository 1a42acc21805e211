"""What a client of AssemblyAI's v3 may ask for, in the query of the handshake and, some of it, in UpdateConfiguration.

Facts from the vendor's specification and SDKs (PyPI assemblyai 0.41 to 1.8, npm assemblyai 4.41).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from appliance.core.options import AudioFormat, Encoding, Endpointing, Limits, Mode, Probability, SessionOptions
from appliance.core.problems import Kind, Refused

CONTAINERS = frozenset({"ogg_opus", "aac"})
"""Encodings that are decoded to s16le at 16 kHz before the session. ``opus``, packets without a container, is not."""
ENCODINGS: dict[str, Encoding] = {
    "pcm_s16le": Encoding.S16LE,
    "pcm_mulaw": Encoding.MULAW,
    **dict.fromkeys(sorted(CONTAINERS), Encoding.S16LE),
}
NEWER = ("u3", "universal-3")
"""How the names of the newer models begin. The installed model serves all names, but the turns of these are told in
another way: SpeechStarted before each, and one end that is already formatted.
"""
SILENCES = {False: (400, 1_280), True: (100, 1_000)}
"""Defaults of ``min_turn_silence`` and ``max_turn_silence``; the second ones are those of the newer models."""
CONFIDENCE = 0.4
LONGEST_SILENCE_MS = 60_000
"""The session's own bound; who asks for more gets this much."""
PARTIAL_MS = 250
MULTI = "multi"
LANGUAGE = re.compile(r"[a-z]{2,3}")
LISTS = ("keyterms_prompt", "language_codes")
"""Parameters that come as a JSON array; a single bare value is taken too."""
PYTHON_STRING = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
PYTHON_LIST = re.compile(rf"\[(?:(?:{PYTHON_STRING.pattern})(?:, |(?=\])))+\]")
"""What ``str()`` makes of a list: the Python SDK of the 0.48 line sends it instead of JSON."""
LONGEST_S = 10_800
"""Of a session, as documented."""
QUOTED = 60
"""Characters of what cannot be understood that are told back."""

UNHONOURED = {
    "speaker_labels": "speakers are not told apart",
    "filter_profanity": "nothing is filtered",
    "language_detection": "the language is the model's, it is not detected",
    "keyterms_prompt": "terms are not favoured",
    "llm_gateway": "there is no language model",
    "webhook_url": "no webhook is called",
    "session_heartbeat": "no heartbeats are sent",
    "acknowledge_silence": "silence is not reported",
}
"""Options that change what a client gets and are not had here, and what a Warning says of them."""
FIXED = {"language_codes": "the language of a session cannot be changed"}

Silence = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Keyterms = Annotated[tuple[Annotated[str, Meta(max_length=50)], ...], Meta(max_length=100)]
Codes = Annotated[tuple[str, ...], Meta(max_length=10)]


class Settings(Struct, frozen=True, kw_only=True):
    """What may be set at the beginning and changed later; ``None`` is not mentioned. Silences in milliseconds."""

    end_of_turn_confidence_threshold: Probability | None = None
    min_turn_silence: Silence | None = None
    min_end_of_turn_silence_when_confident: Silence | None = None
    """The old name of the one above."""
    max_turn_silence: Silence | None = None
    vad_threshold: Probability | None = None
    format_turns: bool | None = None
    keyterms_prompt: Keyterms | None = None
    language_codes: Codes | None = None
    filter_profanity: bool | None = None
    session_heartbeat: bool | None = None
    acknowledge_silence: bool | None = None


class Query(Settings, frozen=True, kw_only=True):
    """With what only the handshake may say."""

    sample_rate: Annotated[int, Meta(ge=8_000, le=96_000)] = 16_000
    encoding: str = "pcm_s16le"
    speech_model: str = ""
    language: str = ""
    language_code: str = ""
    language_detection: bool = False
    speaker_labels: bool = False
    max_speakers: Annotated[int, Meta(ge=1, le=10)] | None = None
    inactivity_timeout: Annotated[int, Meta(ge=5, le=3_600)] | None = None
    redact_pii: bool = False
    include_partial_turns: bool | None = None
    llm_gateway: str = ""
    webhook_url: str = ""

    @property
    def newer(self) -> bool:
        """A newer model is named."""
        return self.speech_model.lower().startswith(NEWER)

    @property
    def audio(self) -> AudioFormat:
        return AudioFormat() if self.encoding in CONTAINERS else AudioFormat(ENCODINGS[self.encoding], self.sample_rate)

    @property
    def partials(self) -> bool:
        return first(self.include_partial_turns, True)

    @property
    def ending(self) -> Ending:
        return Ending(*SILENCES[self.newer]).changed(self)

    def options(self, own: Endpointing) -> SessionOptions:
        """``own``: the appliance's. Raises ``Refused`` for languages that are none."""
        return SessionOptions(
            audio=self.audio,
            languages=languages(self.language_codes or (self.language_code or self.language,)),
            endpointing=structs.replace(self.ending.endpointing(own, self.vad_threshold), mode=Mode.VAD),
            partial_ms=PARTIAL_MS if self.partials else 0,
            numerals=self.newer or bool(self.format_turns),
        )

    def limited(self, limits: Limits) -> Limits:
        """Idleness is limited when the client asks for it; what the owner has set counts if it is shorter."""
        if self.inactivity_timeout is None:
            return limits
        own = first(limits.idle_s, float(self.inactivity_timeout))
        return structs.replace(limits, idle_s=min(own, float(self.inactivity_timeout)))


class TokenQuery(Struct, frozen=True):
    """Of ``GET /v3/token``."""

    expires_in_seconds: Annotated[int, Meta(ge=1, le=600)]
    max_session_duration_seconds: Annotated[int, Meta(ge=60, le=LONGEST_S)] | None = None


class Ending(Struct, frozen=True):
    """When a turn is over. The confidence that it is grows with silence, from 0 at ``least_ms`` to 1 at ``most_ms``."""

    least_ms: int
    most_ms: int
    threshold: float = CONFIDENCE
    """The confidence that is enough."""

    def changed(self, asked: Settings) -> Ending:
        """As the client wants it from now on."""
        least = first(asked.min_turn_silence, first(asked.min_end_of_turn_silence_when_confident, self.least_ms))
        most = first(asked.max_turn_silence, self.most_ms)
        return Ending(least, most, first(asked.end_of_turn_confidence_threshold, self.threshold))

    def endpointing(self, before: Endpointing, threshold: float | None) -> Endpointing:
        """With another threshold of the voice detector, if there is one."""
        return structs.replace(before, silence_to_end_ms=self.silence_ms, threshold=first(threshold, before.threshold))

    @property
    def silence_ms(self) -> int:
        """Never more than ``most_ms``, not even where ``least_ms`` is."""
        grown = self.least_ms + round((self.most_ms - self.least_ms) * self.threshold)
        return min(grown, self.most_ms, LONGEST_SILENCE_MS)

    @property
    def confidence(self) -> float:
        """When that silence is complete."""
        return self.threshold if self.most_ms > self.least_ms else 1.0


def read(query: Sequence[tuple[str, str]]) -> Query:
    """Unknown parameters are ignored, as the vendor does; an empty value counts as none. Raises ``Refused``."""
    given: dict[str, Any] = {name: value for name, value in query if value}
    if "keyterms" in given:  # its old name
        given.setdefault("keyterms_prompt", given["keyterms"])
    for name in LISTS:
        if name in given:
            given[name] = _list(name, given[name])
    try:
        asked = msgspec.convert(given, Query, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(Kind.BAD_OPTION, readable(error)) from error
    if asked.encoding not in ENCODINGS:
        raise Refused(Kind.BAD_ENCODING, f"{quoted(asked.encoding)}; expected {' or '.join(ENCODINGS)}")
    if asked.redact_pii:  # who relies on it must not be told that it happens
        raise Refused(Kind.BAD_OPTION, "redact_pii: nothing can be redacted on this device")
    return asked


def languages(codes: Iterable[str]) -> tuple[str, ...]:
    """``en`` of ``en``, ``en-US`` or ``en_us``; ``multi``, which stands alone, names none. Raises ``Refused``."""
    short = tuple(dict.fromkeys(re.split("[-_]", code.strip().lower())[0] for code in codes if code.strip()))
    if MULTI in short and len(short) > 1:
        raise Refused(Kind.BAD_OPTION, f"language_codes: {MULTI} stands alone")
    for code in short:
        if code != MULTI and not LANGUAGE.fullmatch(code):
            raise Refused(Kind.UNKNOWN_LANGUAGE, quoted(code))
    return tuple(code for code in short if code != MULTI)


def quoted(text: str) -> str:
    """The beginning of what a client has sent, such as can be sent back."""
    return text[:QUOTED].encode(errors="replace").decode()


def readable(error: msgspec.ValidationError) -> str:
    """The name first: "min_turn_silence: Expected `int`, got `str`"."""
    what, _, where = str(error).partition(" - at `$.")
    return f"{where.rstrip('`')}: {what}" if where else what


Value = TypeVar("Value")


def first(asked: Value | None, otherwise: Value) -> Value:
    """What is asked for, if anything is."""
    return otherwise if asked is None else asked


def _list(name: str, value: str) -> Any:
    if not value.startswith("["):
        return [value]
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        if PYTHON_LIST.fullmatch(value):
            return [single or double for single, double in PYTHON_STRING.findall(value)]
        raise Refused(Kind.BAD_OPTION, f"{name} is no JSON array") from error
