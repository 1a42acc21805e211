"""Which loaded model serves a language, and what to install when none does."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.core.options import MULTILINGUAL
from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.packs.catalogue import for_language

_CODES = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy "
    "id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa "
    "sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh "
)
WHISPER_LANGUAGES = frozenset(_CODES.split())
"""Codes of the multilingual Whisper packs (``tokenizer.json`` of faster-whisper-base)."""
MULTILINGUAL_PACK = "faster-whisper-base"
"""What serves a language for which no pack of its own is published."""


def choose(languages: tuple[str, ...], loaded: Iterable[Capabilities], default: str) -> Capabilities:
    """Return the model for a session; the one named ``default`` when any language will do.

    ``languages``: those that may be spoken, preferred first; with several of them, a model that writes more of them
    wins, because it can tell which one is spoken. ``MULTILINGUAL`` stands for all that a model knows. Among equals a
    model of one language comes first, then ``default``. Raises ``Refused`` with the name of the pack to install when
    none of the languages can be served.
    """
    models = sorted(loaded, key=lambda model: model.model != default)
    if not models:
        raise Refused(Kind.NOT_READY, "no model could be loaded")
    if not languages:
        return models[0]

    def rank(model: Capabilities) -> tuple[int, int, bool]:
        served = [number for number, language in enumerate(languages) if _serves(model, language)]
        return -len(served), min(served, default=len(languages)), _multilingual(model)

    best = min(models, key=rank)
    if rank(best)[0]:
        return best
    packs = [pack for pack in map(pack_for, languages) if pack]
    wanted = ", ".join(languages)
    if packs:
        raise Refused(Kind.NO_MODEL, f"{wanted}; install one with: appliance models install {packs[0]}")
    raise Refused(Kind.NO_MODEL, f"{wanted}; no published pack is known, install your own from a folder or zip file")


def _serves(model: Capabilities, language: str) -> bool:
    return _multilingual(model) if language == MULTILINGUAL else model.serves(language)


def pack_for(language: str) -> str:
    """Return the name of the pack to install for a language (ISO 639-1); empty when none is known."""
    own = next((pack.name for pack in for_language(language)), "")
    return own or MULTILINGUAL_PACK * (language in WHISPER_LANGUAGES or language == MULTILINGUAL)


def _multilingual(model: Capabilities) -> bool:
    return len(model.languages) > 1
