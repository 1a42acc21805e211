"""Model packs known by name, so that a language is one command away. Facts about each are its publisher's.

Sources: the models page and model-list.json of https://alphacephei.com/vosk/models, as copied in public projects
(December 2024). Models for non-commercial use only and speaker models are left out. Whisper packs: ``published``.
"""

from __future__ import annotations

import re

from msgspec import Struct

from appliance.core.options import MULTILINGUAL
from appliance.packs.published import wheel_sources, whisper_sources
from appliance.packs.sources import Archive, Source

PUBLISHER = "https://alphacephei.com/vosk/models"
APACHE = "Apache-2.0"
MIT = "MIT"
UNKNOWN = ""
KIOSK = "kiosk-words"
"""A closed vocabulary, for commands and digits."""

VOSK_CODES = {"cn": "zh", "kz": "kk", "ua": "uk", "vn": "vi"}
"""Country codes that Vosk's names use where ISO 639-1 has another language code."""


class Pack(Struct, frozen=True):
    """A model one can install, or (without a source) one that comes with the software."""

    name: str
    engine: str
    language: str
    """ISO 639-1, lower case; "mul" for a multilingual model."""
    region: str = ""
    """Lower case: "us", "in"; empty when the model is meant for everybody who speaks the language."""
    size: int = 0
    """Bytes to download from the publisher; 0 when unknown."""
    licence: str = UNKNOWN
    sources: tuple[Source, ...] = ()
    """In the order in which they are tried."""
    note: str = ""


def _vosk(name: str, language: str, region: str, size: int, licence: str, md5: str | None, note: str = "") -> Pack:
    sources = (Archive(f"{PUBLISHER}/{name}.zip", size, md5), *wheel_sources(name))
    return Pack(name, "vosk", language, region, size, licence, sources, note)


def _whisper(name: str, language: str) -> Pack:
    sources = whisper_sources(name)
    return Pack(name, "whisper", language, "", sources[0].size, MIT, sources)


# Within a language the best choice for a small board comes first: small before big, embedded ones last.
# fmt: off
CATALOGUE: tuple[Pack, ...] = (
    _vosk("vosk-model-small-ar-0.3",          "ar", "",   104_351_896, UNKNOWN, "0eb578c0779f85ef039b7ee5bc1b64ed"),
    _vosk("vosk-model-small-ar-tn-0.1-linto", "ar", "tn", 165_703_754, APACHE,  "67bbe16beaa17e6cf14f8c295ee5ddd1"),
    _vosk("vosk-model-br-0.8",                "br", "",   0,           MIT,     None, "about 70 MB"),
    _vosk("vosk-model-small-ca-0.4",          "ca", "",   43_405_881,  APACHE,  "5dc7901815fef3dc8b784b31f309385c"),
    _vosk("vosk-model-small-cs-0.4-rhasspy",  "cs", "",   46_088_666,  MIT,     "df5ddac5ee8632f6b46a6fc751953286"),
    _vosk("vosk-model-small-de-0.15",         "de", "",   46_499_967,  APACHE,  "4f21f92c0897b48287ef8839420608eb"),
    _vosk("vosk-model-el-gr-0.7",             "el", "gr", 0,           APACHE,  None, "about 1.1 GB, for servers"),
    _whisper("faster-whisper-base.en",  "en"),
    _whisper("faster-whisper-small.en", "en"),
    _whisper("faster-whisper-tiny.en",  "en"),
    _vosk("vosk-model-small-en-us-0.15",      "en", "us", 41_205_931,  APACHE,  "09ab50ccd62b674cbaa231b825f9c1cb"),
    _vosk("vosk-model-small-en-in-0.4",       "en", "in", 37_573_330,  APACHE,  "62fd085f33c8c5fc01a235030e2a1fe3"),
    _vosk("vosk-model-small-en-gb-0.15",      "en", "gb", 42_757_500,  UNKNOWN, "6afd611b04b2b47c129c3615dc502383"),
    _vosk("vosk-model-en-us-0.22-lgraph",     "en", "us", 130_557_655, APACHE,  "2df36985f8ed8eb7b78476cadcdab48f"),
    _vosk("vosk-model-small-eo-0.42",         "eo", "",   43_839_401,  APACHE,  "3e9319ca789fa06fd3efa68d51c85d6b"),
    _vosk("vosk-model-small-es-0.42",         "es", "",   39_817_833,  APACHE,  "2d5c94f9859a84881a0ef744738ebd31"),
    _vosk("vosk-model-small-fa-0.42",         "fa", "",   53_431_220,  APACHE,  "cc2b18af256ffab2c44055f6a02ecb3d"),
    _vosk("vosk-model-small-fr-0.22",         "fr", "",   42_233_323,  APACHE,  "8873b1234503f6edd55f54bfff31cf3e"),
    _vosk("vosk-model-small-gu-0.42",         "gu", "",   108_054_987, APACHE,  "4595a6f0cc0c88fee6eec7d80496fc10"),
    _vosk("vosk-model-small-hi-0.22",         "hi", "",   44_458_845,  APACHE,  "80f1265262c9a8a515f2707498e1b485"),
    _vosk("vosk-model-small-it-0.22",         "it", "",   49_665_141,  APACHE,  "fbd8f9c72cbb8c3dfa3e4581bd3585f4"),
    _vosk("vosk-model-small-ja-0.22",         "ja", "",   49_704_573,  APACHE,  "0e3163dd62dfb0d823353718ac3cbf79"),
    _vosk("vosk-model-small-ka-0.42",         "ka", "",   45_682_310,  UNKNOWN, "7e95b6a69b60a5f1c45e29d1cd2ac353"),
    _vosk("vosk-model-small-kz-0.15",         "kk", "",   43_739_114,  APACHE,  "e55d95d1ffbafc0dfeb6fef044d5759b"),
    _vosk("vosk-model-small-kz-0.42",         "kk", "",   59_697_294,  UNKNOWN, "1c7dc487ac5e0c24acfa7566c106ba2d"),
    _vosk("vosk-model-small-ko-0.22",         "ko", "",   86_914_329,  APACHE,  "fa8029a173787a159e0e72fe6135f890"),
    _vosk("vosk-model-small-ky-0.42",         "ky", "",   51_041_096,  UNKNOWN, "541eb45589c2b6f8350905086a76f072"),
    _vosk("vosk-model-small-nl-0.22",         "nl", "",   40_441_176,  APACHE,  "4582e1f20d6849099da08511f9797017"),
    _vosk("vosk-model-small-pl-0.22",         "pl", "",   52_979_372,  APACHE,  "91cbbd6231320467da672be31827b6ac"),
    _vosk("vosk-model-small-pt-0.3",          "pt", "",   32_453_112,  APACHE,  "458c69371c5a0b9ab6ee8fa417bf89da"),
    _vosk("vosk-model-small-ru-0.22",         "ru", "",   46_236_750,  APACHE,  "d1759dc83eb8fd87850129afbd9f4b7b"),
    _vosk("vosk-model-small-sv-rhasspy-0.15", "sv", "",   303_504_931, MIT,     "5ae431c65fe8636692118792daa22ecc"),
    _vosk("vosk-model-small-te-0.42",         "te", "",   60_544_249,  APACHE,  "ae3c093fd7dd883d462983b15900ca61"),
    _vosk("vosk-model-small-tg-0.22",         "tg", "",   51_879_043,  APACHE,  "fca4e40de915a5bd2f30e32d60af45c0"),
    _vosk("vosk-model-small-tr-0.3",          "tr", "",   36_855_784,  APACHE,  "198511631860597639a0ebf779263fcf"),
    _vosk("vosk-model-small-uk-v3-nano",      "uk", "",   77_622_640,  APACHE,  None),
    _vosk("vosk-model-small-uk-v3-small",     "uk", "",   143_914_407, APACHE,  "3188e41b4a38369d8b9527d0149616ab"),
    _vosk("vosk-model-small-uz-0.22",         "uz", "",   51_061_189,  APACHE,  "4d75acfef76fe919c8fb68cd1179c182"),
    _vosk("vosk-model-small-vn-0.4",          "vi", "",   33_656_337,  APACHE,  "b31b474a1ef75488c5fa575f8e2a1269"),
    _vosk("vosk-model-small-cn-0.22",         "zh", "",   43_898_754,  APACHE,  "d1a8e82933dcc7632667c036b0bb3dbb"),
    _whisper("faster-whisper-base",     MULTILINGUAL),
    _whisper("faster-whisper-small",    MULTILINGUAL),
    _whisper("faster-whisper-tiny",     MULTILINGUAL),
    Pack("whisper-tiny-en", "whisper", "en", licence=MIT, note="embedded; general English, tuned for short utterances"),
    Pack(KIOSK, "vosk", "en", licence=APACHE, note="embedded; letters, numbers, months, commands only"),
)
# fmt: on


def named(name: str) -> Pack | None:
    """The pack with exactly this name."""
    return next((pack for pack in CATALOGUE if pack.name == name), None)


def for_language(language: str) -> tuple[Pack, ...]:
    """The packs for an ISO 639-1 code, best first."""
    return tuple(pack for pack in CATALOGUE if pack.language == language)


def language_of(name: str, engine: str = "vosk") -> str:
    """Return the language of a model called ``name``: the catalogue's, else what the name says.

    Vosk's names are like ``vosk-model-small-XX-1``; Whisper's English-only models end in ".en", the others are
    multilingual ("mul" in ISO 639-2). "und", ISO 639-2's code for undetermined, when the name says nothing.
    """
    if pack := named(name):
        return pack.language
    if engine == "whisper":
        return "en" if re.search(r"[.-]en$", name) else MULTILINGUAL
    found = re.match(r"vosk-(?:[a-z]+-)*?([a-z]{2})(?![a-z])", name)
    return VOSK_CODES.get(found[1], found[1]) if found else "und"
