"""The models of this device: chosen by its board's profile and by what calibration has measured of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from appliance.board.detect import Profile
from appliance.config import Config
from appliance.engines.registry import ModelSpec
from appliance.packs.choice import Cost, choose
from appliance.packs.selection import Selection, select
from appliance.packs.store import Store
from appliance.scheduling import cores, figures
from appliance.scheduling.figures import Figure


def chosen(config: Config, profile: Profile) -> Selection:
    """Return the models to load.

    Costs that calibration has kept count as long as model, software and machine are the same. Raises ``EngineError``
    or ``PackError`` when what the configuration asks for is not installed.
    """
    store, wanted = Store(config.models_dir), config.recognizer
    asked = wanted.engine, wanted.model, wanted.language, profile.models
    first = select(store, *asked)
    known = kept_costs(config, profile, (*first.candidates, *first.models))
    return select(store, *asked, costs=known, cores=promised_cores(config)) if known else first


def kept_costs(config: Config, profile: Profile, specs: Iterable[ModelSpec]) -> dict[str, Cost]:
    """Return what the kept calibration says of these models; nothing of those that have changed since. Reads files."""
    kept = figures.load(config.state_dir / figures.FILE)
    usable = _usable_cores(config)
    return {
        spec.name: cost_of(kept[spec.name])
        for spec in specs
        if spec.name in kept and kept[spec.name].fingerprint == figures.fingerprint(spec, profile.title, usable)
    }


def too_slow_note(selection: Selection, measured: Mapping[str, Figure], config: Config) -> str:
    """Return what to tell when calibration finds the default model too slow and another candidate would be taken.

    Empty when the default model stays the choice.
    """
    names = [spec.name for spec in selection.candidates]
    if len(names) < 2:
        return ""
    costs = {name: cost_of(figure) for name, figure in measured.items()}
    choice = choose(names, costs, promised_cores(config))
    if choice.name == selection.models[0].name:
        return ""
    return f"{'; '.join(choice.reasons)}; the next start takes {choice.name}"


def cost_of(figure: Figure) -> Cost:
    """Return a kept figure as the choice needs it. Elapsed time that was measured on a busy machine does not count."""
    return Cost(figure.cost, 0.0 if figure.provisional else figure.final_s)


def promised_cores(config: Config) -> float:
    """Return the cores that may be promised to streams."""
    return _usable_cores(config) * config.scheduling.headroom


def _usable_cores(config: Config) -> float:
    """As the worker pool counts them."""
    usable = cores.usable()
    return min(usable, config.scheduling.workers) if config.scheduling.workers else usable
