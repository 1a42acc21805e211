"""What this machine is called on its networks: the names and addresses that clients may ask for it by."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path

ALWAYS = ("localhost", "127.0.0.1", "::1")
TRIE = Path("/proc/net/fib_trie")
IF_INET6 = Path("/proc/net/if_inet6")

LOCAL4 = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
"""An address of this machine in the kernel's routing table."""
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{LABEL}(\.{LABEL})*")
PASSING = 0x01 | 0x08 | 0x40
"""Flags of if_addr.h: temporary for privacy, taken by another machine already, not yet known to be free."""


def names(extra: Iterable[str] = ()) -> frozenset[str]:
    """The host's name, also in ``.local``, the addresses it has now, loopback's, and ``extra``, each canonical.

    Raises ``ValueError`` for an extra one that a certificate cannot carry.
    """
    full = socket.gethostname().lower().rstrip(".")
    short = full.partition(".")[0]
    own = {name for name in (full, short, f"{short}.local") if HOST.fullmatch(name)}
    return frozenset({*own, *addresses(_read(TRIE), _read(IF_INET6)), *ALWAYS, *map(canonical, extra)})


def addresses(trie: str, if_inet6: str) -> set[str]:
    """The addresses in the kernel's two tables, without IPv6 ones that hold for one link or for a while only."""
    found = set(LOCAL4.findall(trie))
    for line in if_inet6.splitlines():
        digits, _, _, _, flags, _ = line.split()
        address = ipaddress.IPv6Address(bytes.fromhex(digits))
        if not address.is_link_local and not int(flags, 16) & PASSING:
            found.add(str(address))
    return found


def canonical(name: str) -> str:
    """The one way to write a host's name (ASCII, perhaps with a star in front) or an address; else ``ValueError``."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if HOST.fullmatch(name.lower()):
            return name.lower()
        raise ValueError(f"{name!r} is neither the name of a host in ASCII nor an address") from None


def _read(table: Path) -> str:
    try:
        return table.read_text()
    except OSError:  # no network of this kind
        return ""
