"""Which models to load: the one asked for, or the best there is; and one for every other installed language."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from appliance.engines.registry import EngineError, ModelSpec
from appliance.packs.store import Installed, Store

EMBEDDED = "whisper-tiny-en"


class Selection(Struct, frozen=True):
    """``models`` begins with the default one; ``why`` says in words how that was chosen."""

    models: tuple[ModelSpec, ...]
    why: str


def select(
    store: Store, engine: str = "auto", model: str = "auto", language: str = "auto", suited: str = "auto"
) -> Selection:
    """``suited`` is the pack that suits the board. Raises ``EngineError`` when what was asked for is not installed."""
    installed = [pack for pack in store.installed() if engine in ("auto", pack.engine)]
    if model != "auto":
        first = _named(installed, model, language, engine)
        why = "it was asked for"
    else:
        fit = [pack for pack in installed if language in ("auto", pack.language)]
        published = [pack for pack in fit if pack.name != EMBEDDED and pack.name != "kiosk-words"]
        published.sort(key=lambda pack: pack.name != suited)
        preferred = [*published, *(pack for pack in fit if pack.name == EMBEDDED), *fit]
        if not preferred:
            raise EngineError(
                f"no installed model fits engine {engine} and language {language}; see: appliance models list"
            )
        first = _spec(preferred[0])
        why = "it is installed" if published else "no Vosk model is installed, and this one came with the software"
        why = "it is installed and suits this board" if first.name == suited else why
    others: dict[str, ModelSpec] = {}
    for pack in installed:
        if pack.language != first.language and pack.name != "kiosk-words":
            others.setdefault(pack.language, _spec(pack))
    return Selection((first, *others.values()), why)


def _named(installed: list[Installed], model: str, language: str, engine: str) -> ModelSpec:
    for pack in installed:
        if pack.name == model:
            return _spec(pack)
    folder = Path(os.path.expanduser(model))
    if model and folder.is_dir():
        return ModelSpec(
            name=folder.resolve().name,
            engine="vosk" if engine == "auto" else engine,
            language="en" if language == "auto" else language,
            path=str(folder.resolve()),
        )
    raise EngineError(f"the model {model} is not installed; see: appliance models list")


def _spec(pack: Installed) -> ModelSpec:
    return ModelSpec(
        name=pack.name, engine=pack.engine, language=pack.language, path=str(pack.path), context=pack.context
    )
