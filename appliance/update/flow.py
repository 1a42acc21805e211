"""From a bundle to a verdict: the one way that all ways in lead to."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from appliance.update import service
from appliance.update.archive import Source
from appliance.update.bundle import ENDING
from appliance.update.manifest import NotTaken
from appliance.update.releases import STEP, Places, drop, highest, only_one, put_up, status, step
from appliance.update.stage import Tell, compiled, stage, vouched
from appliance.update.verdict import Outcome, Verdict, load, save

STICK_FILES = 16
"""Bundles at the top of a stick that are looked at."""


def update(source: Source, places: Places, tell: Tell, now: Callable[[], float], *, again: bool = False) -> Verdict:
    """Take it, have it tried, and say how that went. Raises ``NotTaken``: nothing has changed."""
    service.require()
    with only_one(places), steps(places, tell, "checking who has signed it") as told:
        with only_one(places, trial=True):
            pass
        try:
            name = stage(vouched(source, places), places, told, again=again, compiler=compiled)
        except OSError as error:
            raise NotTaken(f"the disk says: {error.strerror or error}") from error
        put_up(places, name)
        save(places.base, Verdict(outcome=Outcome.TRYING, version=name, at=now()))
        tell(f"trying {name}: the service is started with it")
        service.start_trial(_echo(places, tell))
    found = status(places).verdict
    assert found is not None
    return found


def back(places: Places, now: Callable[[], float]) -> str:
    """From now on the shipped program; the update that was dropped, if there was one. Raises ``NotTaken``."""
    with only_one(places), only_one(places, trial=True):
        current = status(places).current
        if current is None:
            return ""
        drop(places)
        save(places.base, Verdict(outcome=Outcome.DROPPED, version=current, why="as was asked for", at=now()))
        if service.RUNS.is_dir():
            service.Systemd().restart(only_if_it_runs=True)
    return current


def refused(places: Places, why: str, now: Callable[[], float]) -> Verdict:
    """An update was refused; kept for whoever asks later, unless another one is being tried."""
    verdict = Verdict(outcome=Outcome.REFUSED, why=why, at=now())
    last = load(places.base)
    if last is None or last.outcome is not Outcome.TRYING:
        save(places.base, verdict)
    return verdict


def opened(path: Path, *, follow: bool = True) -> IO[bytes]:
    """A bundle to read. Raises ``NotTaken``: no file, or ``follow`` is false and it is a link."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
    except OSError as error:
        raise NotTaken(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotTaken(f"{path} is no file")
    return os.fdopen(descriptor, "rb")


def newest(folder: Path, places: Places, tell: Tell) -> Path | None:
    """Of the bundles at the top of a stick the newest that is newer than what runs; ``None``: there is nothing to do.

    A bundle older than the newest update that was ever kept here counts as old, also after that update was dropped.

    Raises ``NotTaken`` when there are bundles and nobody whom this box trusts has signed one of them.
    """
    running, found, wrong = status(places).running, [], []
    for path in sorted(folder.glob(f"*{ENDING}"))[:STICK_FILES]:
        try:
            with opened(path, follow=False) as file:
                found.append((vouched(file, places).manifest.built, path))
        except (NotTaken, OSError) as error:
            wrong.append(f"{path.name}: {error}")
    if not found:
        if wrong:
            raise NotTaken("; ".join(wrong))
        return None
    for line in wrong:
        tell(line)
    built, path = max(found)
    if running is not None and built <= running.built:
        tell(f"{path.name} is not newer than what runs")
        return None
    if built < highest(places):
        tell(f"{path.name} is older than the newest update that was kept here; by hand: appliance update --again FILE")
        return None
    return path


@contextlib.contextmanager
def steps(places: Places, tell: Tell, first: str) -> Iterator[Tell]:
    """Tells, and leaves the last thing told where ``--status`` and the daemon look."""
    file = places.run / STEP

    def step(line: str) -> None:
        tell(line)
        with contextlib.suppress(OSError):
            file.write_text(line)

    try:
        step(first)
        yield step
    finally:
        file.unlink(missing_ok=True)


def _echo(places: Places, tell: Tell) -> Callable[[], None]:
    """Tells what the trial, another process, does, each time it is something else."""
    last = step(places)

    def look() -> None:
        nonlocal last
        if (now := step(places)) != last:
            last = now
            if now:
                tell(now)

    return look
