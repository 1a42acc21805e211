"""The card's FAT partition: read at every start, written to only for a moment, and only what is not there already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.accounts.disk import remove, replace

SETTINGS = "appliance.txt"
SIZE_MAX = 1024 * 1024
"""More is not read: it is no text of a person, and the box has little memory."""

Run = Callable[[tuple[str, ...]], None]
"""Runs a command; raises OSError with the reason when it fails."""


class Card:
    """The folder where it is mounted. Every method raises OSError."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run
        self.complaint = ""
        """Why it can still be written to, when it should not be."""

    @property
    def there(self) -> bool:
        """It is mounted; otherwise what is written would be gone with the memory."""
        return os.path.ismount(self._folder) or (self._folder / SETTINGS).exists()

    def read(self, name: str) -> bytes | None:
        """What is in a file; None when there is none."""
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(SIZE_MAX)
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Have the file so, down to the card, with the line ends of Windows."""
        data = text.replace("\n", "\r\n").encode()
        if self.read(name) != data:
            with self._writable():
                replace(self._folder / name, data)

    def remove(self, name: str) -> None:
        """Have no such file."""
        if (self._folder / name).exists():
            with self._writable():
                remove(self._folder / name)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """It can be written to in here; afterwards no more, if it could not be before."""
        if not (os.path.ismount(self._folder) and os.statvfs(self._folder).f_flag & os.ST_RDONLY):
            yield
            return
        self._run(("mount", "-o", "remount,rw", str(self._folder)))
        try:
            yield
        finally:
            try:
                self._run(("mount", "-o", "remount,ro", str(self._folder)))  # the kernel writes all of it first
            except OSError as error:
                self.complaint = f"the card stays writable: {error.strerror}"
