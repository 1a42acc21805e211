"""What the query of ElevenLabs' realtime endpoint may say: its parameters, their ranges, and the language codes.

Facts from the SDKs (PyPI elevenlabs 2.78.0, npm @elevenlabs/elevenlabs-js 2.73.0) and the vendor's API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from appliance.core.options import AudioFormat, Encoding, Endpointing, Mode, SessionOptions
from appliance.core.problems import Kind, Refused

MODELS = ("scribe_v2_realtime", "scribe_v2_realtime_turbo", "scribe_v2_realtime_lite", "scribe_v3_live")
"""Names that clients use; the installed model serves them all."""
FORMATS: dict[str, AudioFormat] = {
    **{f"pcm_{rate}": AudioFormat(rate=rate) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)},
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8_000),
}
STRATEGIES: dict[str, Mode] = {"manual": Mode.MANUAL, "vad": Mode.VAD}
"""``turn_prediction`` is for models that predict turns; none does here."""
REDACTIONS = ("redacted", "entity_type", "enumerated_entity_type")
CHOICES: dict[str, Sequence[str]] = {
    "model_id": MODELS,
    "audio_format": tuple(FORMATS),
    "commit_strategy": tuple(STRATEGIES),
    "entity_redaction_mode": REDACTIONS,
}
EXCLUSIVE = (
    ("filter_background_audio", "include_timestamps"),
    ("transcript_edit", "entity_detection"),
    ("transcript_edit", "entity_redaction"),
)
"""Parameters that the vendor does not let be combined."""
LISTS = frozenset({"secondary_languages", "keyterms", "entity_detection", "entity_redaction"})
"""Parameters that may come more than once; of the others the last one counts."""
NOT_YET: dict[str, str] = {
    "secondary_languages": "a session is in one language",
    "keyterms": "the recogniser cannot be biased towards them",
    "no_verbatim": "fillers and false starts stay in the text",
    "filter_background_audio": "whoever is heard is transcribed",
    "entity_detection": "no committed_transcript_entities will follow",
    "entity_redaction": "no redacted_transcript will follow",
    "transcript_edit": "no edited_transcript will follow",
}
"""Parameters that are understood and not honoured, and what that means."""

LONGEST_MS = 90_000
"""After so much audio without a commit the service commits by itself (guide on commit strategies)."""
SHOWN = 40
"""Characters of a bad value that a message repeats."""

ISO_639 = """
aar:aa abk:ab ave:ae afr:af aka:ak amh:am arg:an ara:ar asm:as ava:av aym:ay aze:az bak:ba bel:be bul:bg bis:bi
bam:bm ben:bn bod:bo bre:br bos:bs cat:ca che:ce cha:ch cos:co cre:cr ces:cs chu:cu chv:cv cym:cy dan:da deu:de
div:dv dzo:dz ewe:ee ell:el eng:en epo:eo spa:es est:et eus:eu fas:fa ful:ff fin:fi fij:fj fao:fo fra:fr fry:fy
gle:ga gla:gd glg:gl grn:gn guj:gu glv:gv hau:ha heb:he hin:hi hmo:ho hrv:hr hat:ht hun:hu hye:hy her:hz ina:ia
ind:id ile:ie ibo:ig iii:ii ipk:ik ido:io isl:is ita:it iku:iu jpn:ja jav:jv kat:ka kon:kg kik:ki kua:kj kaz:kk
kal:kl khm:km kan:kn kor:ko kau:kr kas:ks kur:ku kom:kv cor:kw kir:ky lat:la ltz:lb lug:lg lim:li lin:ln lao:lo
lit:lt lub:lu lav:lv mlg:mg mah:mh mri:mi mkd:mk mal:ml mon:mn mar:mr msa:ms mlt:mt mya:my nau:na nob:nb nde:nd
nep:ne ndo:ng nld:nl nno:nn nor:no nbl:nr nav:nv nya:ny oci:oc oji:oj orm:om ori:or oss:os pan:pa pli:pi pol:pl
pus:ps por:pt que:qu roh:rm run:rn ron:ro rus:ru kin:rw san:sa srd:sc snd:sd sme:se sag:sg sin:si slk:sk slv:sl
smo:sm sna:sn som:so sqi:sq srp:sr ssw:ss sot:st sun:su swe:sv swa:sw tam:ta tel:te tgk:tg tha:th tir:ti tuk:tk
tgl:tl tsn:tn ton:to tur:tr tso:ts tat:tt twi:tw tah:ty uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa
wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
cmn:zh fil:tl ast:ast ceb:ceb kea:kea luo:luo nso:nso umb:umb yue:yue
"""
"""ISO 639-3 and 639-1. The last line is what the vendor knows besides: second codes, and languages without 639-1."""
CODES = dict(pair.split(":") for pair in ISO_639.split())
KNOWN = frozenset(CODES.values())

Entity = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.]*$", max_length=100)]


class Query(Struct, frozen=True, kw_only=True):
    """The parameters, with the vendor's names, defaults and ranges."""

    model_id: str
    audio_format: str = "pcm_16000"
    language_code: str = ""
    """As it was asked for, in lower case."""
    secondary_languages: tuple[str, ...] = ()
    commit_strategy: str = "manual"
    include_timestamps: bool = False
    include_language_detection: bool = False
    vad_silence_threshold_secs: Annotated[float, Meta(ge=0.3, le=3.0)] = 1.5
    vad_threshold: Annotated[float, Meta(ge=0.1, le=0.9)] = 0.4
    min_speech_duration_ms: Annotated[int, Meta(ge=50, le=2_000)] = 100
    min_silence_duration_ms: Annotated[int, Meta(ge=50, le=2_000)] = 100
    keyterms: Annotated[tuple[Annotated[str, Meta(max_length=20)], ...], Meta(max_length=50)] = ()
    no_verbatim: bool = False
    enable_logging: bool = True
    filter_background_audio: bool = False
    entity_detection: tuple[Entity, ...] = ()
    entity_redaction: tuple[Entity, ...] = ()
    entity_redaction_mode: str = "enumerated_entity_type"
    transcript_edit: Annotated[str, Meta(max_length=2_000)] = ""

    @property
    def audio(self) -> AudioFormat:
        return FORMATS[self.audio_format]

    @property
    def language(self) -> str | None:
        """ISO 639-1; ``None``: any."""
        return language(self.language_code) if self.language_code else None

    @property
    def mode(self) -> Mode:
        return STRATEGIES[self.commit_strategy]

    @property
    def timed(self) -> bool:
        """Every commit has a second message."""
        return self.include_timestamps or self.include_language_detection

    def not_honoured(self) -> Iterator[str]:
        """What was asked for in vain, and why, in a sentence each."""
        return (f"{name} is not honoured here: {why}" for name, why in NOT_YET.items() if getattr(self, name))

    def options(self, own: Endpointing) -> SessionOptions:
        """The session that is wanted; ``own`` is the appliance's endpointing, for what the vendor leaves open."""
        endpointing = structs.replace(own, mode=self.mode, longest_ms=LONGEST_MS)
        if self.mode is Mode.VAD:
            endpointing = structs.replace(
                endpointing,
                threshold=self.vad_threshold,
                min_speech_ms=self.min_speech_duration_ms,
                min_silence_ms=self.min_silence_duration_ms,
                silence_to_end_ms=round(self.vad_silence_threshold_secs * 1000),
            )
        languages = (self.language,) if self.language else ()
        return SessionOptions(audio=self.audio, languages=languages, endpointing=endpointing)

    def config(self) -> dict[str, object]:
        """As the server repeats it: every field that the live service or one of the vendor's types has."""
        return {
            "sample_rate": self.audio.rate,
            "audio_format": self.audio_format,
            "language_code": self.language,
            "secondary_languages": self.secondary_languages,
            "timestamps_granularity": "word",
            "commit_strategy": self.commit_strategy,
            "vad_commit_strategy": self.mode is Mode.VAD,
            "vad_silence_threshold_secs": self.vad_silence_threshold_secs,
            "vad_threshold": self.vad_threshold,
            "min_speech_duration_ms": self.min_speech_duration_ms,
            "min_silence_duration_ms": self.min_silence_duration_ms,
            "max_tokens_to_recompute": 5,
            "model_id": self.model_id,
            "disable_logging": not self.enable_logging,
            "enable_logging": self.enable_logging,
            "include_timestamps": self.include_timestamps,
            "include_language_detection": self.include_language_detection,
            "filter_background_audio": self.filter_background_audio,
            "keyterms": self.keyterms,
            "no_verbatim": self.no_verbatim,
            "entity_detection": self.entity_detection or None,
        }


def read(parameters: Sequence[tuple[str, str]]) -> Query:
    """The query; names that are not known do not count, and neither do empty values.

    ``encoding`` stands for ``audio_format`` where that is absent: LiveKit's older plugins say it so. Raises
    ``Refused``: BAD_OPTION or UNKNOWN_LANGUAGE.
    """
    asked: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in parameters:
        value = value.encode(errors="replace").decode()  # it may be repeated to the client
        if value and name in LISTS:
            lists.setdefault(name, []).append(value)
        elif value:
            asked[name] = value
    if asked.get("encoding") in FORMATS:
        asked.setdefault("audio_format", asked["encoding"])
    try:
        query = msgspec.convert({**asked, **lists}, Query, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(Kind.BAD_OPTION, str(error)) from error
    for name, known in CHOICES.items():
        value = getattr(query, name)
        if value not in known:
            raise Refused(Kind.BAD_OPTION, f"{name} {value[:SHOWN]!r}; expected one of {', '.join(known)}")
    for one, other in EXCLUSIVE:
        if getattr(query, one) and getattr(query, other):
            raise Refused(Kind.BAD_OPTION, f"{one} cannot be combined with {other}")
    if query.language_code:
        language(query.language_code)
    return structs.replace(
        query,
        language_code=query.language_code.strip().lower(),
        secondary_languages=tuple(language(code) for code in query.secondary_languages),
    )


def language(code: str) -> str:
    """ISO 639-1 of a 639-1 or 639-3 code. Raises ``Refused`` for any other, one with a region too."""
    plain = code.strip().lower()
    plain = CODES.get(plain, plain)
    if plain not in KNOWN:
        raise Refused(Kind.UNKNOWN_LANGUAGE, f"{code[:SHOWN]!r}; expected ISO 639-1 or 639-3, without a region")
    return plain
