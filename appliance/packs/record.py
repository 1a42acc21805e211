"""What was installed, file by file, so that a worn card or a stray hand is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.engines.registry import Context
from appliance.packs.catalogue import Pack, language_of, named
from appliance.packs.disk import PackError
from appliance.packs.layout import engine_of
from appliance.packs.unpack import Files, Member

RECORD = "appliance-pack.json"
MOST_BYTES = 1 << 20
"""A record lists at most a thousand files."""


class Record(Struct, frozen=True, omit_defaults=True):
    """What ``appliance-pack.json`` in a pack's folder says. ``files`` is empty for a pack without recorded files."""

    name: str
    engine: str
    language: str
    licence: str
    source: str
    files: Files = {}
    context: Context = Context()
    """How much audio the encoder of a Whisper model must see; other engines ignore it."""


def record_of(name: str, folder: Path) -> Record:
    """What the pack's record says; without one, what the catalogue and the name say."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except FileNotFoundError:
        engine = engine_of([path.name for path in folder.iterdir()])
        pack = named(name) or Pack(name, engine, language_of(name, engine))
        return Record(name, pack.engine, pack.language, pack.licence, "")
    except msgspec.MsgspecError as error:
        raise PackError(f"{RECORD} is damaged: {error}") from error


def carried_context(files: Iterable[Member]) -> Context:
    """Return the context that the record among ``files`` states; the default one without a readable record."""
    for member in files:
        if str(member.path) == RECORD and member.size <= MOST_BYTES:
            with member.open() as file, suppress(msgspec.MsgspecError):
                return msgspec.json.decode(file.read(), type=Record).context
    return Context()


def differences(folder: Path, files: Files, *, thorough: bool) -> Iterator[str]:
    """How the folder differs from what was recorded; only ``thorough`` reads what the files hold."""
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif (found := path.stat().st_size) != size:
            yield f"{name} has {found} bytes instead of {size}"
        elif thorough:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    yield f"{name} has changed"
    if thorough:
        here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        yield from (f"{name} does not belong to the pack" for name in sorted(here - {RECORD, *files}))
