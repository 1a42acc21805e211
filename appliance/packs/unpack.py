"""Reads a model from a zip or a folder that nobody vouches for, and writes it into a folder it cannot leave."""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import IO

from msgspec import Struct

from appliance.packs.disk import PackError, Progress, require_space, sync_tree, write

MAX_FILES = 1_000
"""A Vosk model has 15 to 60 files."""

MAX_BYTES = 8 << 30
"""Twice what the largest published Vosk model unpacks to (its zip has 2.3 GB)."""

Files = dict[str, tuple[int, str]]
"""Relative path -> size and SHA-256."""


class Member(Struct, frozen=True):
    """A file to be unpacked."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


@contextmanager
def members(source: Path) -> Iterator[list[Member]]:
    """The files of a zip or a folder, without a single leading folder. PackError when any of them is not acceptable."""
    if source.is_dir():
        yield _within_limits(source, _in_folder(source))
        return
    try:
        with zipfile.ZipFile(source) as archive:
            yield _within_limits(source, _without_leading_folder(list(_in_zip(source, archive))))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise PackError(f"{source.name} is damaged or not a zip file ({error}); get it again") from error


def unpack(files: Iterable[Member], target: Path, progress: Progress) -> Files:
    """Write all into the new folder ``target``, down to the disk."""
    files = list(files)
    total = sum(member.size for member in files)
    require_space(target.parent, total)
    done = 0

    def wrote(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    written: Files = {}
    target.mkdir()
    for member in files:
        path = target / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source:
            written[str(member.path)] = write(source, path, wrote)
    sync_tree(target)
    return written


def _in_folder(folder: Path) -> Iterator[Member]:
    """The files below ``folder``. A link is refused: the installer may read files that its caller may not."""
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        if stat.S_ISREG(kind):
            name = PurePosixPath(path.relative_to(folder))
            yield Member(name, path.lstat().st_size, partial(_open_below, folder, name))
        elif stat.S_ISLNK(kind):
            raise PackError(f"{path} is a link, which is not followed; install a copy made with: cp -rL FOLDER COPY")
        elif not stat.S_ISDIR(kind):
            raise PackError(f"{path} is neither a file nor a folder; copy the model without it")


def _open_below(folder: Path, name: PurePosixPath) -> IO[bytes]:
    """Open the file ``name`` below ``folder`` to read, although its path may have changed since it was listed.

    Raises OSError for a link, in any part of ``name``, and for what is no file.
    """
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in name.parent.parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = below
        descriptor = os.open(name.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no file any more", str(folder / name))
    return FileIO(descriptor)


def _in_zip(source: Path, archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if trouble := _trouble(info):
            raise PackError(f"{source.name} is refused: {info.orig_filename!r} {trouble}")
        if not info.is_dir():
            yield Member(PurePosixPath(info.filename), info.file_size, partial(archive.open, info))


def _trouble(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if "\\" in name or "\0" in name or re.match("[A-Za-z]:", name):
        return "is not a portable file name"
    if name.startswith("/"):
        return "is an absolute path"
    if not {"", ".", ".."}.isdisjoint(name.removesuffix("/").split("/")):
        return "leaves its folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that is not supported"
    return ""


def _without_leading_folder(files: list[Member]) -> list[Member]:
    leading = {member.path.parts[0] for member in files}
    if len(leading) != 1 or any(len(member.path.parts) == 1 for member in files):
        return files
    return [Member(PurePosixPath(*member.path.parts[1:]), member.size, member.open) for member in files]


def _within_limits(source: Path, files: Iterable[Member]) -> list[Member]:
    accepted: dict[PurePosixPath, Member] = {}
    size = 0
    for member in files:
        if member.path in accepted:
            raise PackError(f"{source.name} is refused: {member.path} is in it twice")
        accepted[member.path] = member
        size += member.size
        if len(accepted) > MAX_FILES or size > MAX_BYTES:
            raise PackError(f"{source.name} is refused: it has over {MAX_FILES} files or {MAX_BYTES >> 30} GiB")
    for path in accepted:
        if not accepted.keys().isdisjoint(path.parents):
            raise PackError(f"{source.name} is refused: {path} is inside of a file")
    return list(accepted.values())
