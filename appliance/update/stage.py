"""A bundle becomes a release on the disk: read once, written beside the others, named when all of it was right."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appliance import interpreter
from appliance.packs.disk import megabytes
from appliance.update.archive import Hashed, Source, Unpacked
from appliance.update.bundle import Bundle, opened
from appliance.update.decisions import Box, why_not
from appliance.update.manifest import NotTaken
from appliance.update.releases import PROGRAM, Places, begin, complete, highest, in_force, record, said, sweep
from appliance.update.signature import signer
from appliance.update.unpack import unpack

COMPILE_S = 900.0
PYTHON = ".".join(platform.python_version_tuple()[:2])

Tell = Callable[[str], None]


def vouched(source: Source, places: Places) -> Bundle:
    """The bundle, if somebody whom this box trusts has signed it. Raises ``NotTaken``."""
    return opened(source, partial(signer, signers=places.signers))


def box(places: Places) -> Box:
    """This one, as it is now. Raises ``NotTaken`` for an installation that does not say what it is."""
    running = said(in_force(places)) or said(places.shipped)
    if running is None:
        raise NotTaken(f"{places.shipped} does not say what it is: updates are for an installed appliance")
    free = shutil.disk_usage(places.base).free
    return Box(running=running, python=PYTHON, free=free, highest=highest(places))


def stage(
    bundle: Bundle, places: Places, tell: Tell, *, again: bool = False, compiler: Callable[[Path, Path], bool]
) -> str:
    """The name of the release that it has become. Raises ``NotTaken`` and OSError, and then has made none."""
    manifest = bundle.manifest
    record(places)  # before a release that was kept can be swept
    sweep(places)
    if reason := why_not(manifest, box(places), again):
        raise NotTaken(reason)
    tell(f"unpacking {manifest.version}, {megabytes(manifest.size)}, signed by {bundle.signer}")
    folder = begin(places, manifest.version)
    try:
        _unpack(bundle, folder / PROGRAM)
        tell("compiling")
        if not compiler(folder / PROGRAM, places.releases / folder.stem / PROGRAM):
            tell("it could not be compiled: it will start more slowly")
        return complete(places, folder)
    except (NotTaken, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unpack(bundle: Bundle, tree: Path) -> None:
    """Raises ``NotTaken`` unless it is what the manifest says, to the last byte."""
    manifest, payload = bundle.manifest, Hashed(bundle.payload)
    try:
        unpack(Unpacked(payload, manifest.unpacked), tree)
    except NotTaken:
        _drain(payload)
        if payload.sha256 == manifest.sha256:
            raise
        raise NotTaken("its payload is not what was signed: it is damaged, or somebody has changed it") from None
    _drain(payload)
    if payload.sha256 != manifest.sha256:
        raise NotTaken("its payload is not what was signed: it is damaged, or somebody has changed it")
    inside = said(tree)
    if inside is None or (inside.version, inside.built) != (manifest.version, manifest.built):
        raise NotTaken("the program in it is not the one that its manifest names: it was made wrongly")


def _drain(payload: Hashed) -> None:
    while payload.read(1 << 20):
        pass


def compiled(tree: Path, final: Path) -> bool:
    """Bytecode for all of ``tree``, which will be called ``final``, so that it starts faster; whether that could be."""
    command = (
        *("nice", *interpreter.command("compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash")),
        *("-s", str(tree), "-p", str(final), str(tree)),
    )
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMPILE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
