"""Parts that all measurements share: rows, material, models and a daemon to measure."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from appliance.bench.corpus import Clip, made, recorded
from appliance.cli.child import Child, own_daemon
from appliance.engines.registry import ModelSpec
from appliance.packs.record import record_of
from appliance.packs.selection import EMBEDDED
from appliance.packs.store import Store, embedded

FREE = ("native_read", "native_long", "spontaneous")
"""Groups of the development recordings in which native speakers say whole sentences."""
CLOSED = ("an4_spell_digits", "digits", "isolated_words", "noisy")
"""Groups of letters, numbers and single words, which kiosk words are made for, and the noisy ones."""
ALL = (*FREE, "l2_read", *CLOSED)


class Row(Struct, frozen=True):
    """``aim`` is absent where a figure is for information; ``good`` says whether it is met."""

    what: str
    value: float
    unit: str = ""
    aim: str = ""
    good: bool | None = None


class NotMeasured(Exception):
    """A measure lacks what it needs; the message says what, and how to give it."""


Tell = Callable[[Row], None]


class Plan(Struct, frozen=True):
    """How long to measure, and on what. ``speech`` is a folder of labelled recordings, or ``None`` to make speech."""

    speech: Path | None
    seconds: float = 30.0
    models_dir: Path | None = None
    """Where other models are installed; ``None``: only those that come with the software are measured."""

    def clips(self, groups: Sequence[str]) -> list[Clip]:
        """Return the recordings of these groups, or synthesised sentences."""
        return recorded(self.speech, groups) if self.speech else made()

    def others(self) -> list[ModelSpec]:
        """Return the Whisper models that are installed beside the embedded one."""
        if self.models_dir is None:
            return []
        found = [pack for pack in Store(self.models_dir).installed() if pack.engine == "whisper"]
        return [
            ModelSpec(name=pack.name, engine=pack.engine, language="en", path=str(pack.path), context=pack.context)
            for pack in found
            if pack.name != EMBEDDED
        ]


def embedded_model(name: str) -> ModelSpec:
    """Return the model of this name that comes with the software."""
    folder = embedded()[name]
    record = record_of(name, folder)
    return ModelSpec(
        name=name, engine=record.engine, language=record.language, path=str(folder), context=record.context
    )


WHISPER = embedded_model(EMBEDDED)
KIOSK = embedded_model("kiosk-words")


@asynccontextmanager
async def daemon(model: ModelSpec, plan: Plan) -> AsyncIterator[Child]:
    """A daemon with this model, no microphone, and no limit on streams."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("microphones = []\n[scheduling]\nstreams = 100000\n")
        if plan.models_dir is not None:
            file.write(f'[recognizer]\nmodels_dir = {json.dumps(str(plan.models_dir.resolve()))}\nlanguage = "en"\n')
        file.flush()
        async with own_daemon("--model", model.name, "--config", file.name, quiet=True) as child:
            yield child


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; NaN without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
