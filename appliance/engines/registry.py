"""Engines by name. A third-party library is imported when its engine is chosen, not before."""

from __future__ import annotations

import importlib
import platform

from msgspec import Struct

from appliance.core.ports import Recognizer, VadModel

ENGINES: dict[str, tuple[str, str]] = {
    "whisper": ("appliance.engines.whisper.recognizer", "WhisperRecognizer"),
    "vosk": ("appliance.engines.vosk", "VoskRecognizer"),
}
"""Engine -> module and class, called with the ``ModelSpec``."""
LIBRARIES = {"whisper": "ctranslate2 tokenizers", "vosk": "vosk"}
"""Engine -> what pip calls its libraries."""
DETECTORS: dict[str, tuple[str, str]] = {
    "silero": ("appliance.vad.silero", "SileroModel"),
    "energy": ("appliance.vad.energy", "EnergyModel"),
}


class Context(Struct, frozen=True, kw_only=True):
    """How much audio the encoder of a Whisper model must see. The defaults suit the published models."""

    shortest_s: float = 12.0
    """Seconds at least. With less, the decoder of a published model does not stop where the speech stops."""
    margin_s: float = 2.0
    """Seconds of silence after the speech at least."""


class ModelSpec(Struct, frozen=True, kw_only=True):
    """What is needed to load a recogniser, in any process. ``path`` is absent for the fake engine."""

    name: str
    engine: str
    language: str
    """ISO 639-1; "mul" (ISO 639-2) for a model of several languages that is to detect which one is spoken."""
    path: str | None = None
    context: Context = Context()
    partial_share: float = 0.35
    """Share of a core that a worker spends on partials of all its sessions, where each costs a decode."""
    script: str | None = None
    """For the fake engine: its script as JSON."""


class EngineError(Exception):
    """A recogniser cannot be had; the message says why and what to do."""


def generates_code(engine: str) -> bool:
    """Tell whether an engine's library generates machine code here: oneDNN of CTranslate2 does on x86-64."""
    return engine == "whisper" and platform.machine() == "x86_64"


def load(spec: ModelSpec) -> Recognizer:
    """Load a model. Raises ``EngineError`` for a missing library and a missing or broken model."""
    if spec.engine == "fake":
        return _fake(spec)
    if spec.engine not in ENGINES:
        raise EngineError(f"there is no engine called {spec.engine!r}; there are {', '.join(ENGINES)}")
    module, name = ENGINES[spec.engine]
    try:
        recognizer: Recognizer = getattr(importlib.import_module(module), name)(spec)
    except ImportError as error:
        raise EngineError(
            f"the library of the engine {spec.engine} is missing ({error}); "
            f"install it with: pip install {LIBRARIES[spec.engine]}"
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
