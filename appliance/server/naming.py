"""What a box may be called on its networks, and where it is reached. Nothing here talks to anybody."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import re
import secrets
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LABEL_BYTES = 63
"""Of one part of a name (RFC 1035, 2.3.4)."""
MACHINE_ID = Path("/etc/machine-id")
PURPOSE = b"speech appliance, mDNS"
"""Hashed with the machine's id, which is not to be told (machine-id(5))."""


def own_id(machine_id: str = "") -> str:
    """Six hexadecimal digits for this machine, always the same."""
    with contextlib.suppress(OSError):
        machine_id = machine_id or MACHINE_ID.read_text().strip()
    return hmac.digest((machine_id or str(uuid.getnode())).encode(), PURPOSE, hashlib.sha256).hex()[:6]


def hosts(host: str, id: str) -> tuple[str, str]:
    """What a box may be called in .local, for its certificate: its own, and the one for when that is taken."""
    names = candidates(label(host), id)
    return f"{next(names)}.local", f"{next(names)}.local"


def candidates(name: str, id: str) -> Iterator[str]:
    """The name, then with the id, then ever new ones: a card that was copied has the same id."""
    yield _cut(name, LABEL_BYTES)
    while True:
        yield f"{_cut(name, LABEL_BYTES - 1 - len(id))}-{id}"
        id = secrets.token_hex(3)


def label(host: str) -> str:
    """The first part of a host's name as mDNS may have it; one that says nothing is not taken."""
    found = re.sub("[^a-z0-9-]+", "-", host.lower().partition(".")[0]).strip("-")
    return "appliance" if found in ("", "localhost") else _cut(found, LABEL_BYTES)


def reachable(names: Iterable[str], bound: str) -> tuple[str, ...]:
    """Of a machine's names and addresses the addresses at which others reach what listens on ``bound``, IPv4 first."""
    own = [found for name in names if (found := _address(name)) and not found.is_loopback]
    own = [each for each in own if each.is_private] or own  # the service is closed to others (docs/service.md)
    listened = ipaddress.ip_address(bound)
    if not listened.is_unspecified:
        own = [each for each in own if each == listened]
    elif listened.version == 4:
        own = [each for each in own if each.version == 4]
    return tuple(str(each) for each in sorted(own, key=lambda each: (each.version, int(each))))


def interfaces(addresses: Iterable[str]) -> list[str | int]:
    """Where to talk: everything can be said over IPv4, so IPv6 is for where there is nothing else."""
    known = list(addresses)
    return [each for each in known if ":" not in each] or [*known]


def _address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
