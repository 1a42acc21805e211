"""Which loaded model serves a language, and what to install when none does."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.packs.catalogue import for_language


def choose(languages: tuple[str, ...], loaded: Iterable[Capabilities], default: str) -> Capabilities:
    """The model for the first language that has one; the model named ``default`` when any language will do.

    Refused with the names of the packs to install when none of the languages can be served.
    """
    models = sorted(loaded, key=lambda model: model.model != default)
    if not models:
        raise Refused(Kind.NOT_READY, "no model could be loaded")
    if not languages:
        return models[0]
    for language in languages:
        for model in models:
            if model.language == language:
                return model
    packs = [pack.name for language in languages for pack in for_language(language)[:1]]
    wanted = ", ".join(languages)
    if packs:
        raise Refused(Kind.NO_MODEL, f"{wanted}; install one with: appliance models install {packs[0]}")
    raise Refused(Kind.NO_MODEL, f"{wanted}; no published pack is known, install your own from a folder or zip file")
