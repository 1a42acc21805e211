"""The programs on this box: the shipped one, and beside it those that came as updates. What is on the disk, no more.

A folder under ``releases`` has a name that counts only when it is complete and on the disk. Which one is used two links
say: ``current``, which stays, and ``trial``, which is in memory, so that a reboot ends a trial. The command's wrapper
(image/install) follows them; both are in force only over the shipped program that they were installed over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.accounts.disk import alone, remove, replace
from appliance.packs.disk import sync_folder
from appliance.update.decisions import NEW, called, to_sweep
from appliance.update.manifest import FILE, NotTaken, Release, release
from appliance.update.verdict import Verdict, load, settled

RELEASES = "releases"
CURRENT, TRIAL, NEXT = "current", "trial", "next"
OVER = "over"
"""In a release: the shipped program's ``release.json`` of when it was installed."""
PROGRAM = "program"
STEP = "step"
"""In /run: what is being done now, in words."""
SILENT_S = 3600.0
"""Whoever does it says what he does more often than that, or was killed."""
HIGHEST = "highest"
"""When the newest program was built that was ever kept here. It outlasts a rollback: otherwise an older signed bundle,
with known faults, would count as new because it is newer than the shipped program."""
LOCK = "lock"
"""A folder of root's only: what anybody could open anybody could lock."""


class Places(Struct, frozen=True):
    """Where things are on an installed box."""

    shipped: Path = Path("/usr/lib/appliance")
    base: Path = Path("/var/lib/appliance-update")
    run: Path = Path("/run/appliance-update")
    signers: Path = Path("/etc/appliance/update-signers")

    @property
    def releases(self) -> Path:
        """The folder of all updates."""
        return self.base / RELEASES


class _Highest(Struct, frozen=True):
    """What the file ``HIGHEST`` says: a time in unix seconds, and the version of the shipped program then."""

    built: int
    over: str


class Status(Struct, frozen=True, kw_only=True):
    """How it stands. ``None`` where there is none; ``running``: what the next start takes, trials left aside."""

    shipped: Release | None
    running: Release | None
    current: str | None
    trial: str | None
    step: str
    verdict: Verdict | None


def status(places: Places) -> Status:
    """Look. Never raises."""
    current, trial = named(places.base / CURRENT), named(places.run / TRIAL)
    return Status(
        shipped=said(places.shipped),
        running=said(in_force(places)),
        current=current or None,
        trial=trial or None,
        step=step(places),
        verdict=settled(load(places.base), trial, current),
    )


def step(places: Places) -> str:
    """What is being done now; empty when that is nothing."""
    try:
        if time.time() - (places.run / STEP).stat().st_mtime < SILENT_S:
            return (places.run / STEP).read_text(errors="replace").strip()
    except OSError:
        pass
    return ""


def in_force(places: Places) -> Path:
    """The tree that the wrapper takes, trials left aside."""
    link = places.base / CURRENT
    with contextlib.suppress(OSError):
        complete = (link / PROGRAM / "appliance" / "__main__.py").is_file()
        if complete and (link / OVER).read_bytes() == (places.shipped / FILE).read_bytes():
            return (link / PROGRAM).resolve()
    return places.shipped


def said(tree: Path) -> Release | None:
    """What a tree says of itself."""
    try:
        return release((tree / FILE).read_bytes())
    except OSError:
        return None


def highest(places: Places) -> int:
    """Return when the newest program was built that was kept here over the shipped one, in unix seconds.

    Another shipped program begins anew: root has chosen it. What runs counts as kept, also when it was kept by a
    program that made no record.
    """
    shipped, running = said(places.shipped), said(in_force(places))
    built = running.built if running is not None else 0
    try:
        recorded = msgspec.json.decode((places.base / HIGHEST).read_bytes(), type=_Highest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return built
    return max(built, recorded.built) if shipped is not None and recorded.over == shipped.version else built


def named(link: Path) -> str:
    """The release that a link means; empty when there is no such link."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""


# one at a time


@contextlib.contextmanager
def only_one(places: Places, *, trial: bool = False) -> Iterator[None]:
    """Nobody else takes an update, or with ``trial`` tries one, meanwhile. Makes the folders. Raises ``NotTaken``."""
    lock = (places.run if trial else places.base) / LOCK
    try:
        for folder in (places.base, places.releases, places.run):
            os.makedirs(folder, 0o755, exist_ok=True)
        os.makedirs(lock, 0o700, exist_ok=True)
        with alone(lock):
            yield
    except TimeoutError as error:
        raise NotTaken("another update is under way; see: appliance update --status") from error


# changing it


def sweep(places: Places) -> None:
    """Remove every release but those that are used. Of those nobody is left who runs from them: see ``docs``."""
    used = {named(places.run / TRIAL)}
    if in_force(places) != places.shipped:
        used.add(named(places.base / CURRENT))
    for name in to_sweep(os.listdir(places.releases), used):
        shutil.rmtree(places.releases / name)
    if not (places.base / CURRENT).exists():
        drop(places)


def begin(places: Places, version: str) -> Path:
    """A new folder for a release, whose name does not count yet."""
    folder = places.releases / (called(version, os.listdir(places.releases)) + NEW)
    os.mkdir(folder, 0o755)
    return folder


def complete(places: Places, folder: Path) -> str:
    """All of it to the disk, and then the name that counts."""
    shutil.copyfile(places.shipped / FILE, folder / OVER)
    # of the whole file system at once: 4,000 files one by one take a slow card a minute
    subprocess.run(["sync", "--file-system", str(folder)], check=True)
    name = folder.name.removesuffix(NEW)
    os.rename(folder, places.releases / name)
    sync_folder(places.releases)
    return name


def put_up(places: Places, name: str) -> None:
    """Say which release is to be tried next."""
    _link(places.run / NEXT, places.releases / name)


def try_next(places: Places) -> str:
    """Put on trial what is to be tried next, once; its name. Raises ``NotTaken`` when there is nothing."""
    name = named(places.run / NEXT)
    if not name or not (places.releases / name).is_dir():
        raise NotTaken("there is nothing to be tried")
    _link(places.run / TRIAL, places.releases / name)
    os.unlink(places.run / NEXT)
    return name


def keep(places: Places, name: str) -> None:
    """From now on this one, whatever happens. The program that runs goes on."""
    kept = said(places.releases / name / PROGRAM)
    record(places, kept.built if kept is not None else 0)
    _link(places.base / CURRENT, Path(RELEASES, name))
    sync_folder(places.base)
    end_trial(places)


def record(places: Places, built: int = 0) -> None:
    """Put down the build time of the newest program that was kept, with one of ``built`` among them. Raises OSError."""
    if (shipped := said(places.shipped)) is not None:
        newest = _Highest(max(built, highest(places)), shipped.version)
        replace(places.base / HIGHEST, msgspec.json.encode(newest))


def end_trial(places: Places) -> None:
    """The next start takes the program that was kept."""
    (places.run / TRIAL).unlink(missing_ok=True)


def drop(places: Places) -> None:
    """From now on the shipped program."""
    if (places.base / CURRENT).exists():
        record(places)
    remove(places.base / CURRENT)


def _link(link: Path, target: Path) -> None:
    """Make it, or replace it in one step."""
    new = link.with_name(f"{link.name}{NEW}")
    new.unlink(missing_ok=True)
    os.symlink(target, new)
    os.replace(new, link)
