"""What this machine has measured of its models, as it is kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.engines.registry import LIBRARIES, ModelSpec

log = logging.getLogger(__name__)

FILE = "calibration.json"


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one model. ``cost`` is cores per stream, ``heard`` its text of the phrase, empty if it was not finished."""

    fingerprint: str
    cost: float
    final_s: float = 0.0
    """Seconds from the end of 6 s of speech to its final, with every core busy; 0 when it was not measured."""
    heard: str = ""
    measured_at: float = 0.0
    """Seconds since 1970."""
    provisional: bool = False
    """The machine was busy with other things: it is used, and measured again at the next start."""


class Figures(Struct, frozen=True, kw_only=True):
    """The whole file."""

    machine: str
    cores: float
    models: dict[str, Figure] = {}


def fingerprint(spec: ModelSpec, machine: str, cores: float) -> str:
    """Changes with everything that may change a cost: the model, its engine, ourselves, the machine. Reads the disk."""
    files: list[tuple[str, int, int]] = []
    if spec.path is not None:
        for path in sorted(Path(spec.path).rglob("*")):
            if path.is_file():
                found = path.stat()
                files.append((str(path.relative_to(spec.path)), found.st_size, found.st_mtime_ns))
    libraries = [_version(name) for name in LIBRARIES.get(spec.engine, "").split()]
    work = (spec.context, spec.partial_share, spec.script)
    facts = (spec.name, spec.engine, libraries, _version("speech-appliance"), work, files)
    return hashlib.sha256(msgspec.json.encode((facts, machine, round(cores, 3)))).hexdigest()[:16]


def load(path: Path) -> Mapping[str, Figure]:
    """What was kept; nothing when there is no such file or it cannot be understood."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Figures).models
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read, measuring again: %s", path, error)
        return {}
    return {name: figure for name, figure in kept.items() if 0 < figure.cost < float("inf")}


def save(path: Path, figures: Figures) -> None:
    """After a power cut there is the old file or the new one. What cannot be written is measured again next time."""
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        log.warning("what was measured cannot be kept in %s: %s", path, error.strerror or error)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
