"""What ``appliance.txt`` asks for: a table of its settings, and what the good lines say when some are bad."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from appliance.setup import values
from appliance.setup.problem import Problem, Wrong
from appliance.setup.text import SIZE_MAX, Line, decode, lines
from appliance.setup.values import Address, OwnKey


class Setting(Struct, frozen=True):
    """How the value of one is read, and whether there may be several lines of it."""

    read: Callable[[str], Any]
    repeated: bool = False


TABLE: dict[str, Setting] = {
    "name": Setting(values.host_name),
    "wifi": Setting(values.ssid, repeated=True),
    "wifi-password": Setting(values.passphrase, repeated=True),
    "wifi-hidden": Setting(values.yes, repeated=True),
    "country": Setting(values.country),
    "address": Setting(values.address),
    "gateway": Setting(values.ip),
    "dns": Setting(values.ips, repeated=True),
    "time-server": Setting(values.servers, repeated=True),
    "timezone": Setting(values.zone),
    "access": Setting(values.access),
    "key": Setting(values.own_key, repeated=True),
    "microphone-key": Setting(values.listening_key, repeated=True),
    "microphone": Setting(values.part, repeated=True),
    "language": Setting(values.language),
    "model": Setting(values.part),
    "lights": Setting(values.lights),
    "ssh-key": Setting(values.ssh_key, repeated=True),
}


MEANT = {
    "hostname": "name", "ssid": "wifi", "wlan": "wifi", "psk": "wifi-password", "password": "wifi-password",
    "hidden": "wifi-hidden", "ip": "address", "router": "gateway", "ntp": "time-server", "time-zone": "timezone",
    "api-key": "key", "auth": "access", "mic": "microphone", "lamps": "lights", "authorized-key": "ssh-key",
}  # fmt: skip
"""Names that people know from elsewhere."""
KEYS = ("key", "microphone-key")
"""Settings that give an API key."""
CLOSE = 0.75
"""How alike a mistyped name is at least: a letter too few in `wifi` is, another word before `-password` is not."""


class Wifi(Struct, frozen=True):
    """A network to join; one without a password is open."""

    name: str
    password: str | None = None
    hidden: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """What is asked for; None or empty is what the box does anyway."""

    name: str | None = None
    wifi: tuple[Wifi, ...] = ()
    country: str | None = None
    address: Address | None = None
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    time_servers: tuple[str, ...] = ()
    timezone: str | None = None
    access: str | None = None
    keys: tuple[OwnKey, ...] = ()
    wants_keys: bool = False
    """There is a ``key`` or ``microphone-key`` line, good or bad: the owner does not want one made up."""
    microphones: tuple[str, ...] | None = None
    """Parts of the names of cards; empty when there shall be none."""
    language: str | None = None
    model: str | None = None
    lights: str | None = None
    ssh_keys: tuple[str, ...] = ()
    lines: dict[str, int] = {}
    """Where each was said first."""


class Entry(Struct, frozen=True):
    """A line whose setting is known. ``value`` is None when it was bad, and its problem has been told."""

    line: int
    name: str
    value: Any


def read(data: bytes) -> tuple[Settings, list[Problem]]:
    """The settings of the good lines, and what is wrong with each of the others, in their order."""
    if len(data) > SIZE_MAX:
        return Settings(), [Problem(f"the file has {len(data)} bytes: that is not what was on the card")]
    problems: list[Problem] = []
    entries = [entry for line in lines(decode(data)) if (entry := _entry(line, problems))]
    settings = _assembled(_first_of_each(entries, problems), problems)
    return settings, sorted(problems, key=lambda problem: problem.line or 0)


def _entry(line: Line, problems: list[Problem]) -> Entry | None:
    if line.name not in TABLE:
        problems.append(Problem(_unknown(line.name), line.number))
        return None
    try:
        if not line.value:
            raise Wrong("there is nothing after the equals sign")
        return Entry(line.number, line.name, TABLE[line.name].read(line.value))
    except Wrong as wrong:
        problems.append(Problem(f"`{line.name}`: {wrong}", line.number))
        return Entry(line.number, line.name, None)


def _unknown(name: str | None) -> str:
    """Of a line that sets nothing. A name that is like none of ours is not repeated: it may be a piece of a secret."""
    import difflib

    if name is None:
        return "this is neither `setting = value` nor a comment, which begins with #"
    close = [MEANT[name]] if name in MEANT else difflib.get_close_matches(name, TABLE, n=1, cutoff=CLOSE)
    if close and re.fullmatch("[a-z-]+", name):
        return f"`{name}` is not a setting; did you mean `{close[0]}`?"
    return f"what is before the equals sign is not a setting; those are: {', '.join(TABLE)}"


def _first_of_each(entries: Iterable[Entry], problems: list[Problem]) -> list[Entry]:
    """Without the second line of what can be said once."""
    seen: dict[str, int] = {}
    kept = []
    for entry in entries:
        if entry.name in seen and not TABLE[entry.name].repeated:
            problems.append(
                Problem(f"`{entry.name}` is said in line {seen[entry.name]} already, which counts", entry.line)
            )
            continue
        seen.setdefault(entry.name, entry.line)
        kept.append(entry)
    return kept


def _assembled(entries: list[Entry], problems: list[Problem]) -> Settings:
    found: dict[str, list[Entry]] = {name: [] for name in TABLE}
    for entry in entries:
        if entry.value is not None:
            found[entry.name].append(entry)

    def one(name: str) -> Any:
        return found[name][0].value if found[name] else None

    def all_of(name: str) -> tuple[Any, ...]:
        return tuple(value for entry in found[name] for value in entry.value)

    address = one("address")
    return Settings(
        name=one("name"),
        wifi=_networks(entries, problems),
        country=one("country"),
        address=address,
        gateway=_gateway(found["gateway"], address, problems),
        dns=all_of("dns") if _with_address(found["dns"], address, problems) else (),
        time_servers=all_of("time-server"),
        timezone=one("timezone"),
        access=one("access"),
        keys=_keys([*found["key"], *found["microphone-key"]], problems),
        wants_keys=any(entry.name in KEYS for entry in entries),
        microphones=_microphones(found["microphone"], problems),
        language=one("language"),
        model=one("model"),
        lights=one("lights"),
        ssh_keys=tuple(dict.fromkeys(entry.value for entry in found["ssh-key"])),
        lines={name: entries[0].line for name, entries in found.items() if entries},
    )


def _networks(entries: list[Entry], problems: list[Problem]) -> tuple[Wifi, ...]:
    """Each ``wifi`` line begins one; what is said of it follows. One of which something is wrong is left out:
    without its password it would be another network, one that is open to all.
    """
    networks: list[dict[str, Any]] = []
    for entry in entries:
        if entry.name == "wifi":
            twice = entry.value is not None and any(entry.value == network["name"] for network in networks)
            if twice:
                problems.append(Problem("`wifi`: this network has been named above already", entry.line))
            networks.append({"good": entry.value is not None and not twice, "name": entry.value})
        elif entry.name.startswith("wifi-"):
            field = entry.name.removeprefix("wifi-")
            if not networks:
                problems.append(Problem(f"`{entry.name}` needs the line `wifi` of its network above it", entry.line))
            elif field in networks[-1]:
                problems.append(Problem(f"this network has a `{entry.name}` already", entry.line))
                networks[-1]["good"] = False
            else:
                networks[-1][field] = entry.value
                networks[-1]["good"] &= entry.value is not None
    return tuple(
        Wifi(network["name"], network.get("password"), network.get("hidden", False))
        for network in networks
        if network["good"]
    )


def _with_address(entries: list[Entry], address: Address | None, problems: list[Problem]) -> bool:
    if address is None:
        problems.extend(
            Problem(f"`{entry.name}` counts only with a good line `address`", entry.line) for entry in entries
        )
    return address is not None


def _gateway(entries: list[Entry], address: Address | None, problems: list[Problem]) -> str | None:
    if not _with_address(entries, address, problems) or not entries:
        return None
    assert address is not None
    gateway: str = entries[0].value
    if not address.holds(gateway):
        text = f"`gateway`: {gateway} is not another machine in the network of {address.address}"
        problems.append(Problem(text, entries[0].line))
        return None
    return gateway


def _keys(entries: list[Entry], problems: list[Problem]) -> tuple[OwnKey, ...]:
    keys: dict[str, OwnKey] = {}
    for entry in sorted(entries, key=lambda entry: entry.line):
        if entry.value.secret in keys:
            problems.append(Problem(f"`{entry.name}`: this key is given above already", entry.line))
        keys.setdefault(entry.value.secret, entry.value)
    return tuple(keys.values())


def _microphones(entries: list[Entry], problems: list[Problem]) -> tuple[str, ...] | None:
    named = [entry for entry in entries if entry.value.lower() != "none"]
    if not entries:
        return None
    if named:
        problems.extend(
            Problem("`microphone`: none cannot be together with one that is named", entry.line)
            for entry in entries
            if entry not in named
        )
    return tuple(dict.fromkeys(entry.value for entry in named))
