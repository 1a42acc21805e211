"""Engines by name. A third-party library is imported when its engine is chosen, not before."""

from __future__ import annotations

import importlib
from pathlib import Path

from msgspec import Struct

from appliance.core.ports import Recognizer, VadModel

ENGINES: dict[str, tuple[str, str]] = {
    "vosk": ("appliance.engines.vosk", "VoskRecognizer"),
    "pocketsphinx": ("appliance.engines.pocketsphinx", "PocketsphinxRecognizer"),
}
"""Engine -> module and class, called with (name, language, path)."""
DETECTORS: dict[str, tuple[str, str]] = {
    "silero": ("appliance.vad.silero", "SileroModel"),
    "energy": ("appliance.vad.energy", "EnergyModel"),
}


class ModelSpec(Struct, frozen=True, kw_only=True):
    """What is needed to load a recogniser, in any process. ``path`` is absent for a model inside a library."""

    name: str
    engine: str
    language: str
    path: str | None = None
    script: str | None = None
    """For the fake engine: its script as JSON."""


class EngineError(Exception):
    """A recogniser cannot be had; the message says why and what to do."""


def load(spec: ModelSpec) -> Recognizer:
    """Load a model. Raises ``EngineError`` for a missing library and a missing or broken model."""
    if spec.engine == "fake":
        return _fake(spec)
    if spec.engine not in ENGINES:
        raise EngineError(f"there is no engine called {spec.engine!r}; there are {', '.join(ENGINES)}")
    module, name = ENGINES[spec.engine]
    try:
        recognizer: Recognizer = getattr(importlib.import_module(module), name)(
            spec.name, spec.language, Path(spec.path) if spec.path else None
        )
    except ImportError as error:
        raise EngineError(
            f"the library of the engine {spec.engine} is missing ({error}); install it with: pip install {spec.engine}"
        ) from error
    except OSError as error:
        raise EngineError(
            f"the model {spec.name} cannot be used: {error}; check it with: appliance models verify {spec.name}"
        ) from error
    return recognizer


def detector(name: str) -> VadModel:
    """Load a voice detector by name."""
    module, cls = DETECTORS[name]
    model: VadModel = getattr(importlib.import_module(module), cls)()
    return model


def _fake(spec: ModelSpec) -> Recognizer:
    import msgspec

    from appliance.engines.fake import FakeRecognizer, Script

    script = msgspec.json.decode(spec.script, type=Script) if spec.script else Script()
    return FakeRecognizer(spec.name, spec.language, script)
