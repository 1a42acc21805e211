"""Which models to load: the most accurate one that the device can serve, and one for every other language.

Order of accuracy within a language: models that the operator made (nothing is known of them, and they were installed on
purpose), the packs that the board's profile names, the other packs by their word error rate, multilingual packs for
languages other than English, whose figures are those of English. ``kiosk-words`` never serves free speech by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.core.options import MULTILINGUAL
from appliance.engines.registry import EngineError, ModelSpec
from appliance.packs.accuracy import accuracy_words, error_of, words_of
from appliance.packs.catalogue import CATALOGUE, KIOSK, Pack, named
from appliance.packs.choice import Cost, choose, too_slow
from appliance.packs.languages import WHISPER_LANGUAGES, pack_for
from appliance.packs.layout import engine_of
from appliance.packs.store import Installed, Store, embedded

EMBEDDED = "whisper-tiny-en"
ENGLISH = "en"
ANY_CORES = 1_000.0


class Selection(Struct, frozen=True):
    """``models`` begins with the default one; ``why`` says in words how that was chosen."""

    models: tuple[ModelSpec, ...]
    why: str
    accuracy: str = ""
    """What to expect of the default model, in words."""
    better: str = ""
    """Name of a more accurate pack that suits the board and is not installed; empty when there is none."""
    candidates: tuple[ModelSpec, ...] = ()
    """The models that can be the default, most accurate first."""

    @property
    def better_words(self) -> str:
        """The better pack and what to expect of it; empty when there is none."""
        return f"{self.better}, not installed: {words_of(self.better)}" if self.better else ""

    def told(self) -> dict[str, str]:
        """Return the facts about the default model for programs; empty without one."""
        if not self.models:
            return {}
        name = self.models[0].name
        return {"name": name, "accuracy": self.accuracy, "why": self.why, "better": self.better_words}

    def line(self) -> str:
        """Return the facts about the default model in one line for people; empty without one."""
        if not self.models:
            return ""
        first = self.models[0]
        better = f"; better: {self.better_words}" if self.better else ""
        return f"model {first.name} ({first.engine}, {first.language}): {self.accuracy}{better}"


def select(
    store: Store,
    engine: str = "auto",
    model: str = "auto",
    language: str = "auto",
    preferred: Sequence[str] = (),
    costs: Mapping[str, Cost] | None = None,
    cores: float = ANY_CORES,
) -> Selection:
    """Choose among the installed models.

    ``engine``, ``model`` and ``language`` are those of the configuration, "auto" leaves them open. ``preferred``: packs
    in the order of the board's profile. ``costs``: what calibration has measured. ``cores``: those that may be promised
    to streams. Raises ``EngineError`` when what was asked for is not installed.
    """
    installed = [pack for pack in store.installed() if engine in ("auto", pack.engine)]
    costs = costs or {}
    if model != "auto":
        first = _named(installed, model, language, engine)
        candidates: tuple[ModelSpec, ...] = (first,)
        why = "it was asked for"
        better = ""
    else:
        spoken = _language(installed, language)
        ranked = _ranked(installed, spoken, preferred)
        if not ranked:
            raise EngineError(_nothing(engine, language))
        candidates = tuple(_spec(pack, spoken) for pack in ranked)
        choice = choose([each.name for each in candidates], costs, cores)
        first = next(each for each in candidates if each.name == choice.name)
        why = "; ".join([*choice.reasons, _why(choice.name, preferred, choice.able)])
        better = _better(first.name, spoken, preferred, {pack.name for pack in installed}, costs, cores)
    others = _others(installed, first, preferred, costs, cores)
    return Selection((first, *others), why, accuracy_words(first.name, _own_language(first)), better, candidates)


def order(name: str, language: str, preferred: Sequence[str]) -> tuple[int, float, bool]:
    """Return the sort key of a pack for a language, most accurate first."""
    pack = named(name)
    if name == KIOSK:
        return 9, 0.0, False
    if pack is None:
        return 0, 0.0, False
    many = pack.language == MULTILINGUAL
    foreign = many and language != ENGLISH
    if name in preferred:
        return 3 if foreign else 1, float(preferred.index(name)), many
    return 4 if foreign else 2, error_of(pack), many


def serves(pack: Installed | Pack, language: str) -> bool:
    """Tell whether a pack is for a language, alone or among others."""
    return pack.language == language or (pack.language == MULTILINGUAL and language in WHISPER_LANGUAGES)


def _language(installed: Sequence[Installed], language: str) -> str:
    """The language of clients that name none: the configuration's, else that of the operator's packs, else English."""
    if language != "auto":
        return language
    own = [pack.language for pack in installed if pack.name not in embedded() and pack.language != MULTILINGUAL]
    known = own or [pack.language for pack in installed if pack.language != MULTILINGUAL]
    return ENGLISH if ENGLISH in known or not known else known[0]


def _ranked(installed: Sequence[Installed], language: str, preferred: Sequence[str]) -> list[Installed]:
    fit = [pack for pack in installed if serves(pack, language)]
    free = [pack for pack in fit if pack.name != KIOSK]
    return sorted(free or fit, key=lambda pack: order(pack.name, language, preferred))


def _others(
    installed: Sequence[Installed],
    first: ModelSpec,
    preferred: Sequence[str],
    costs: Mapping[str, Cost],
    cores: float,
) -> list[ModelSpec]:
    """The best model for each language that the first one does not serve best, and a multilingual one for the rest."""
    languages = dict.fromkeys(pack.language for pack in installed if pack.name != KIOSK)
    chosen: dict[str, ModelSpec] = {}
    for language in languages:
        if language == _own_language(first) or language == first.language:
            continue
        packs = [pack for pack in installed if pack.language == language]
        packs = [pack for pack in _ranked(packs, language, preferred) if pack.name != first.name]
        if packs:
            name = choose([pack.name for pack in packs], costs, cores).name
            chosen[name] = _spec(next(pack for pack in packs if pack.name == name), language)
    return list(chosen.values())


def _better(
    name: str,
    language: str,
    preferred: Sequence[str],
    installed: set[str],
    costs: Mapping[str, Cost],
    cores: float,
) -> str:
    """The name of the next more accurate pack that the board's profile names and that is not installed."""
    rank = order(name, language, preferred)
    packs = [pack for pack in CATALOGUE if serves(pack, language) and pack.name not in installed]
    better = [pack for pack in packs if pack.name in preferred and order(pack.name, language, preferred) < rank]
    better = [pack for pack in better if pack.sources and not too_slow(costs.get(pack.name), cores)]
    if not better:
        return ""
    own = [pack for pack in better if pack.language == language]
    nearest = max(own or better, key=lambda pack: order(pack.name, language, preferred))
    return nearest.name


def _why(name: str, preferred: Sequence[str], able: bool) -> str:
    if not able:
        return "it costs least"
    if name == KIOSK:
        return "no model for free speech is installed"
    if named(name) is None:
        return "it was installed by the operator"
    return "it is the most accurate one that is installed" + " and suits this board" * (name in preferred)


def _nothing(engine: str, language: str) -> str:
    text = f"no installed model fits engine {engine} and language {language}; see: appliance models list"
    pack = pack_for(language) if language != "auto" else ""
    return f"{text}, or install one with: appliance models install {pack}" if pack else text


def _named(installed: Sequence[Installed], model: str, language: str, engine: str) -> ModelSpec:
    for pack in installed:
        if pack.name == model:
            return _spec(pack, language)
    folder = Path(os.path.expanduser(model))
    if model and folder.is_dir():
        return ModelSpec(
            name=folder.resolve().name,
            engine=engine_of(os.listdir(folder)) if engine == "auto" else engine,
            language=ENGLISH if language == "auto" else language,
            path=str(folder.resolve()),
        )
    raise EngineError(f"the model {model} is not installed; see: appliance models list")


def _spec(pack: Installed, language: str) -> ModelSpec:
    """The pack as it is loaded; a multilingual one begins with ``language`` when that is one."""
    known = pack.language == MULTILINGUAL and language in WHISPER_LANGUAGES
    return ModelSpec(
        name=pack.name,
        engine=pack.engine,
        language=language if known else pack.language,
        path=str(pack.path),
        context=pack.context,
    )


def _own_language(spec: ModelSpec) -> str:
    """That of the model's pack, which is "mul" for a multilingual one; else that of the specification."""
    pack = named(spec.name)
    return pack.language if pack else spec.language
