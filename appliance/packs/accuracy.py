"""How accurate each pack is, in words for people and as a share of words for the choice between packs.

Figures of ours: word error rates after Whisper's English normaliser on speakers whom no model was tuned with, see the
README in ``whisper-tiny-en`` and docs/models.md. Figures of publishers: OpenAI's paper "Robust Speech Recognition via
Large-Scale Weak Supervision" (LibriSpeech test-clean, greedy) and the models page of alphacephei.com. A pack without a
figure is "not measured".
"""

from __future__ import annotations

import enum

from msgspec import Struct

from appliance.core.options import MULTILINGUAL
from appliance.packs.catalogue import KIOSK, Pack, named


class Origin(enum.Enum):
    """Who measured a figure; the value is what people read."""

    OURS = ""
    PUBLISHER = " (publisher's figure)"


class Accuracy(Struct, frozen=True):
    """One measurement of a pack."""

    error: float
    """Share of words that are wrong, 0 to 1."""
    speech: str
    """On which speech."""
    origin: Origin = Origin.PUBLISHER
    more: str = ""


CLEAR = "clear speech"
FIGURES: dict[str, Accuracy] = {
    "whisper-tiny-en":              Accuracy(0.05,  CLEAR, Origin.OURS, ", 1 in 3 with a strong accent"),
    "faster-whisper-tiny.en":       Accuracy(0.056, CLEAR),
    "faster-whisper-tiny":          Accuracy(0.076, CLEAR),
    "faster-whisper-base.en":       Accuracy(0.042, CLEAR),
    "faster-whisper-base":          Accuracy(0.050, CLEAR),
    "faster-whisper-small.en":      Accuracy(0.031, CLEAR),
    "faster-whisper-small":         Accuracy(0.034, CLEAR),
    "vosk-model-en-us-0.22-lgraph": Accuracy(0.078, CLEAR),
    "vosk-model-small-en-us-0.15":  Accuracy(0.099, CLEAR),
    "vosk-model-small-en-in-0.4":   Accuracy(0.491, "lectures"),
    "vosk-model-small-cn-0.22":     Accuracy(0.235, "clear speech, counted in characters"),
    "vosk-model-small-cs-0.4-rhasspy": Accuracy(0.213, "read sentences"),
    "vosk-model-small-de-0.15":     Accuracy(0.138, CLEAR),
    "vosk-model-small-eo-0.42":     Accuracy(0.072, "read sentences"),
    "vosk-model-small-es-0.42":     Accuracy(0.160, "read sentences"),
    "vosk-model-small-fr-0.22":     Accuracy(0.240, "read sentences"),
    "vosk-model-small-hi-0.22":     Accuracy(0.209, CLEAR),
    "vosk-model-small-it-0.22":     Accuracy(0.169, "read sentences"),
    "vosk-model-small-ja-0.22":     Accuracy(0.095, "lectures, counted in characters"),
    "vosk-model-small-kz-0.15":     Accuracy(0.083, CLEAR),
    "vosk-model-small-nl-0.22":     Accuracy(0.225, "read sentences"),
    "vosk-model-small-pl-0.22":     Accuracy(0.184, "read sentences"),
    "vosk-model-small-pt-0.3":      Accuracy(0.326, "read sentences"),
    "vosk-model-small-ru-0.22":     Accuracy(0.227, "audio books"),
}  # fmt: skip
"""Those of multilingual packs are for English; other languages have more errors."""

LANGUAGES: dict[str, str] = {
    "ar": "Arabic", "br": "Breton", "ca": "Catalan", "cs": "Czech", "de": "German", "el": "Greek", "en": "English",
    "eo": "Esperanto", "es": "Spanish", "fa": "Persian", "fr": "French", "gu": "Gujarati", "hi": "Hindi",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "ko": "Korean", "ky": "Kyrgyz", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "te": "Telugu", "tg": "Tajik",
    "tr": "Turkish", "uk": "Ukrainian", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""English names of the languages of the catalogue."""

MANY = "99 languages"
NOT_MEASURED = "not measured"
WORDS_OF_KIOSK = "letters, numbers, months and commands only"


def accuracy_words(name: str, language: str) -> str:
    """Return the expected accuracy of a pack in words, as in ``general English, about 1 word in 20 wrong on ...``.

    ``language``: that of the pack, ISO 639-1, or "mul".
    """
    if name == KIOSK:
        return WORDS_OF_KIOSK
    figure = FIGURES.get(name)
    many = language == MULTILINGUAL
    spoken = MANY if many else f"general {LANGUAGES.get(language, language)}"
    if figure is None:
        return f"{spoken}, {NOT_MEASURED}"
    rate = f"about 1 word in {round(1 / figure.error)} wrong on {figure.speech}"
    between, after = ("; in English ", ", in others more") if many else (", ", "")
    return f"{spoken}{between}{rate}{figure.more}{figure.origin.value}{after}"


def wrong_words(name: str) -> str:
    """Return the figure of a pack for a table, as in "1 in 24*"; "*" marks a publisher's. Empty when not measured."""
    figure = FIGURES.get(name)
    return f"1 in {round(1 / figure.error)}{'*' * (figure.origin is Origin.PUBLISHER)}" if figure else ""


def error_of(pack: Pack) -> float:
    """Return the share of words that a pack gets wrong; 1.0 when it is not known."""
    return FIGURES[pack.name].error if pack.name in FIGURES else 1.0


def words_of(name: str) -> str:
    """Return the expected accuracy of a pack of the catalogue in words; "not measured" for others."""
    pack = named(name)
    return accuracy_words(name, pack.language) if pack else NOT_MEASURED
