"""The models: whole, chosen, and what they cost on this machine."""

from __future__ import annotations

import time

from appliance import canary, modelchoice
from appliance.core.events import RATE, Final
from appliance.core.options import SessionOptions
from appliance.core.session import Session
from appliance.doctor.box import Box
from appliance.doctor.findings import Finding, finding
from appliance.engines.registry import ModelSpec, detector, load
from appliance.packs.accuracy import accuracy_words
from appliance.packs.selection import Selection
from appliance.packs.store import Store
from appliance.parts import profile
from appliance.scheduling import figures

SLOW = 0.6
"""Processor seconds for a second of audio, from which on one core hardly serves one stream."""
LIMIT_S = 20.0
"""A machine that needed so long for one run is not asked for another."""


def models(box: Box) -> Finding:
    """What is installed, broken or chosen, and what the daemon could not load."""
    store = Store(box.config.models_dir)
    installed = store.installed()
    facts = [
        f"{pack.name}: {pack.engine}, {pack.language}, {_size(pack.size)}; {accuracy_words(pack.name, pack.language)}"
        for pack in installed
    ]
    whole = {pack.name for pack in installed}
    bad = [f"{name}: {'; '.join(store.verify(name))}" for name in store.names() if name not in whole]
    if box.ready is not None:
        facts.append(f"loaded: {', '.join(model['model'] for model in box.ready['models']) or 'none'}")
        better = (box.health or {}).get("model", {}).get("better", "")
        facts += [f"better: {better}"] if better else []
        bad += [f"{name} could not be loaded: {reason}" for name, reason in box.ready["broken"].items()]
    else:
        found = selection(box)
        facts.append(f"the next start takes {found.models[0].name}: {found.why}")
        facts += [f"better: {found.better_words}"] if found.better else []
    return finding("models", facts, bad=bad, advice="install it again: appliance models install NAME" * bool(bad))


def speed(box: Box) -> Finding:
    """Real-time factor and streams, as the first start measured them; measured now where it has not."""
    kept = figures.load(box.config.state_dir / figures.FILE)
    costs = {name: figure.cost for name, figure in kept.items()}
    if box.health is not None:
        costs |= box.health.get("costs", {})
        free = box.health.get("free", {})
        facts = [_cost(name, costs[name], f", {free[name]} more streams fit now") for name in free if name in costs]
        cores = float(box.health.get("cores", 0.0))
        slow = [name for name in free if costs.get(name, 0.0) > max(cores, SLOW)]
        if ease := box.health.get("ease", {}).get("level", 0):
            slow.append(f"the daemon falls behind (step {ease} of 3): {box.health['ease']['means']}")
    elif costs:
        facts = [_cost(name, cost, "") for name, cost in costs.items()]
        slow = [name for name, cost in costs.items() if cost > 1]
    else:
        chosen = selected(box)
        factor, text = _quickly(chosen)
        facts = [f"{chosen.name}: real-time factor {factor:.2f}, measured now; it wrote {text!r}"]
        slow = [chosen.name] if factor > SLOW else []
    notes = [f"{name} is slow for this machine" if " " not in name else name for name in slow]
    return finding("speed", facts, notes=notes, advice="use a smaller model: appliance models list" * bool(notes))


def selected(box: Box) -> ModelSpec:
    """The default model as a start would choose it. Raises EngineError."""
    return selection(box).models[0]


def selection(box: Box) -> Selection:
    """Return the models as a start would choose them. Raises EngineError."""
    return modelchoice.chosen(box.config, profile(box.config.board))


def _cost(name: str, cost: float, more: str) -> str:
    return f"{name}: real-time factor {cost:.2f} (cores for a stream){more}"


def _quickly(spec: ModelSpec) -> tuple[float, str]:
    """Processor seconds for each second of the canary, and what was heard; the first run only warms up."""
    recognizer, voice = load(spec), detector("silero")
    audio = canary.load().samples.astype("<i2").tobytes()
    for _ in range(2):
        began = time.process_time()
        session = Session(SessionOptions(), recognizer, voice.stream())
        try:
            events = [*session.push(audio), *session.finish()]
        finally:
            session.close()
        spent_s = time.process_time() - began
        if spent_s > LIMIT_S:
            break
    text = " ".join(event.text for event in events if isinstance(event, Final) and event.text)
    return spent_s / (len(audio) / 2 / RATE), text


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
