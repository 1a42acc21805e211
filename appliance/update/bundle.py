"""A bundle: one tar of a manifest, its signature and the program. What is not signed is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from tarfile import TarInfo

from msgspec import Struct

from appliance.update.archive import Part, Source, is_file, members
from appliance.update.manifest import MANIFEST_BYTES, Manifest, NotTaken, manifest
from appliance.update.signature import SIGNATURE_BYTES

MEMBERS = {"manifest.json": MANIFEST_BYTES, "manifest.json.sig": SIGNATURE_BYTES}
"""What comes first, in this order, and how many bytes of it are read at most."""
PAYLOAD = "payload.tar.xz"
ENDING = ".appliance-update"


class Bundle(Struct, frozen=True):
    """One whose manifest is signed by ``signer``. ``payload`` can be read once, and is not checked yet."""

    manifest: Manifest
    signer: str
    payload: Part


def opened(source: Source, vouch: Callable[[bytes, bytes], str]) -> Bundle:
    """Read as far as the payload. ``vouch`` gives the signer of (data, signature). Raises ``NotTaken``, as it does."""
    inside = members(source)
    data, signature = (_content(next(inside, None), name, most) for name, most in MEMBERS.items())
    signer = vouch(data, signature)
    said = manifest(data)
    payload = _next(next(inside, None), PAYLOAD)
    if payload is None or payload.left != said.size:
        raise NotTaken("what comes after its manifest is not what that says")
    return Bundle(said, signer, payload)


def _content(member: tuple[TarInfo, Part] | None, name: str, most: int) -> bytes:
    content = _next(member, name)
    if content is None or content.left > most:
        raise NotTaken(f"it is no update: it does not have {name} in its place")
    return content.rest()


def _next(member: tuple[TarInfo, Part] | None, name: str) -> Part | None:
    """The content, if that is the file that has to come here."""
    return member[1] if member is not None and is_file(member[0]) and member[0].name == name else None
