"""Writes the tree of a program from an archive that nobody vouches for yet, into a folder that it cannot leave."""

from __future__ import annotations

import os
from pathlib import Path
from tarfile import TarInfo

from appliance.update.archive import PIECE, Part, Source, is_file, members
from appliance.update.manifest import NotTaken

MOST = 50_000
"""Members; a program has about 4,000."""


def unpack(source: Source, target: Path) -> None:
    """Make the folder ``target`` and all that is in it. Files are root's, for everybody to read. Raises ``NotTaken``.

    Until the last byte was right the caller gives the folder no name that counts.
    """
    os.mkdir(target, 0o755)
    folders = {""}
    for count, (member, content) in enumerate(members(source)):
        name = member.name.removeprefix("./").removesuffix("/") if member.name != "." else ""
        if trouble := "is one too many" if count >= MOST else _trouble(member, name, folders):
            raise NotTaken(f"it is refused: {member.name!r} {trouble}")
        try:
            _put(member, content, target / name)
        except FileExistsError as error:
            if name:
                raise NotTaken(f"it is refused: {member.name!r} is in it twice") from error
        if member.isdir():
            folders.add(name)


def _put(member: TarInfo, content: Part, path: Path) -> None:
    if member.isdir():
        os.mkdir(path, 0o755)
    elif member.issym():
        os.symlink(member.linkname, path)
    else:
        mode = 0o755 if member.mode & 0o100 else 0o644
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            while data := content.read(PIECE):
                file.write(data)


def _trouble(member: TarInfo, name: str, folders: set[str]) -> str:
    """Why it is not written; empty when it is."""
    parent = name.rpartition("/")[0]
    reasons = {
        "is neither file nor folder nor link": not (is_file(member) or member.isdir() or member.issym()),
        "has rights of its own": bool(member.mode & 0o7000),
        "leaves its folder": not member.isdir() if name == "" else bool({"", ".", ".."} & set(name.split("/"))),
        "has a sign that is no letter": not name.isprintable() or "\\" in name,
        # a folder of ours, not a link: what is written through a link could be anywhere
        "is in no folder of the archive": parent not in folders,
        "is a link that leads out": member.issym() and not _stays(name, member.linkname),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _stays(name: str, target: str) -> bool:
    """A relative link that goes up, at most to the top, and then down. Up after down could be up from another link."""
    parts = target.split("/")
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return target.isprintable() and up <= name.count("/") and not {"", ".", ".."} & set(parts[up:])
