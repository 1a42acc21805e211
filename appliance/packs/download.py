"""Gets one large file over a line that may break, continuing where the last attempt ended."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO

from appliance.packs.disk import PackError, Progress, chunks, megabytes, require_space

TIMEOUT = 5.0
"""Seconds for connecting and for each silence after that: without a network the person waits no longer."""

ATTEMPTS = 5
"""Broken connections in a row that are taken up again at once; the next call goes on from there anyway."""

TITLES = {"md5": "MD5", "sha256": "SHA-256"}

UNPACKED = 2
"""Bytes that a model unpacks to for each byte of its zip, at most; so much room must be left for it."""


def download(
    url: str, part: Path, *, size: int, checksum: tuple[str, str] | None, room: int, progress: Progress
) -> None:
    """Complete the file ``part`` from ``url`` and check it.

    ``size``: bytes, 0 when unknown. ``checksum``: the name of a hash function and the hash in hexadecimal, None when
    unknown. ``room``: how many times its size must be free for what is made of the file.
    Raises PackError, or OSError from the disk. A file that broke off stays, a wrong one is removed.
    """
    for _ in range(ATTEMPTS):
        before = _size(part)
        if (size and before == size) or _attempt(url, part, size, room, progress):
            return _check(part, size, checksum)
        if _size(part) == before:
            break
    raise PackError(
        f"the connection to {urllib.parse.urlsplit(url).hostname} broke after {megabytes(_size(part))}; "
        "the same command goes on from there"
    )


def _attempt(url: str, part: Path, size: int, room: int, progress: Progress) -> bool:
    """Whether ``part`` is complete after one request."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, part, have)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise PackError(f"{urllib.parse.urlsplit(url).hostname} cannot be reached ({reason})") from error
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            return False
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else size or None
        require_space(part.parent, (total or have) * (1 + room) - have)
        with part.open("ab" if have else "wb") as file:
            for chunk in _received(response):
                have += file.write(chunk)
                progress(have, total)
    return total is None or have >= total


def _received(response: IO[bytes]) -> Iterator[bytes]:
    """What arrives until the end or until the connection breaks."""
    with suppress(OSError, http.client.HTTPException):
        yield from chunks(response)


def _refused(error: urllib.error.HTTPError, part: Path, have: int) -> bool:
    """A range is refused when the file is complete already, or is another one now: then it has to start again."""
    if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise PackError(f"{error.url} answers {error.code} {error.reason}; is the pack still published?")
    whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
    if whole and int(whole[1]) == have:
        return True
    part.unlink()
    return False


def _check(part: Path, size: int, checksum: tuple[str, str] | None) -> None:
    trouble = ""
    if size and _size(part) != size:
        trouble = f"has {_size(part)} bytes instead of {size}"
    elif checksum:
        function, expected = checksum
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.new(function, usedforsecurity=False)).hexdigest()
        if found != expected:
            trouble = f"has the {TITLES[function]} {found} instead of the publisher's {expected}"
    if trouble:
        part.unlink()
        raise PackError(f"{part.name.removesuffix('.part')} {trouble}; it was removed, try again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
