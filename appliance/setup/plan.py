"""From what is asked for to files and commands. Pure: what it has to know of the box is passed in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from msgspec import Struct

from appliance.setup import network
from appliance.setup.files import File, Link
from appliance.setup.problem import Problem
from appliance.setup.settings import Settings

SSH_CONFIG = "/etc/ssh/sshd_config.d/00-appliance.conf"
"""Before Debian's own: of most settings sshd takes the first value it reads."""

HOSTS = """\
127.0.0.1 localhost
127.0.1.1 {name}
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""

SSHD = """\
HostKey {host_key}
AllowUsers root
PermitRootLogin prohibit-password
AuthorizedKeysFile /root/.ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
"""


class Box(Struct, frozen=True):
    """What is known of the system. ``models`` are the packs on it, asked only when one is named."""

    name: str
    host_key: str
    """Where sshd finds its own key."""
    models: Callable[[], Collection[str]]
    has_zone: Callable[[str], bool]


class Plan(Struct, frozen=True):
    """What is to be written and run, in this order."""

    name: str
    """Of the host."""
    files: tuple[File | Link, ...]
    tables: dict[str, Any]
    """Of the appliance's configuration."""
    commands: tuple[tuple[str, ...], ...]
    ssh: bool
    """There will be an ssh daemon, which needs a key of its own first."""
    problems: tuple[Problem, ...]


def plan(settings: Settings, box: Box) -> Plan:
    """What makes the settings true on the box."""
    problems: list[Problem] = []
    files = [
        *(_named(settings.name) if settings.name else ()),
        *network.files(settings),
        *_zone(settings, box, problems),
        *(_ssh(settings.ssh_keys, box.host_key) if settings.ssh_keys else ()),
    ]
    commands: list[tuple[str, ...]] = [("hostname", settings.name)] if settings.name else []
    if settings.ssh_keys:  # it is not enabled, so that without a key there is none
        commands.append(("systemctl", "--no-block", "start", "ssh.service"))
    tables = _tables(settings, _model(settings, box, problems))
    return Plan(
        settings.name or box.name, tuple(files), tables, tuple(commands), bool(settings.ssh_keys), tuple(problems)
    )


def _named(name: str) -> tuple[File, File]:
    return File("/etc/hostname", f"{name}\n"), File("/etc/hosts", HOSTS.format(name=name))


def _ssh(keys: tuple[str, ...], host_key: str) -> tuple[File, File]:
    return (
        File("/root/.ssh/authorized_keys", "".join(f"{key}\n" for key in keys), 0o600),
        File(SSH_CONFIG, SSHD.format(host_key=host_key)),
    )


def _zone(settings: Settings, box: Box, problems: list[Problem]) -> tuple[Link, ...]:
    zone = settings.timezone
    if zone is None:
        return ()
    if not box.has_zone(zone):
        text = f"`timezone`: there is no time zone {zone}; they are named like Europe/Berlin or America/Lima"
        problems.append(Problem(text, settings.lines["timezone"]))
        return ()
    return (Link("/etc/localtime", f"/usr/share/zoneinfo/{zone}"),)


def _model(settings: Settings, box: Box, problems: list[Problem]) -> str | None:
    if settings.model is None or settings.model in (here := box.models()):
        return settings.model
    text = f"`model`: there is no model {settings.model} on this box; those are: {', '.join(sorted(here))}"
    problems.append(Problem(text, settings.lines["model"]))
    return None


def _tables(settings: Settings, model: str | None) -> dict[str, Any]:
    """The configuration's tables, with what is said only."""
    said: dict[str, dict[str, Any]] = {
        "server": {"auth": settings.access},
        "recognizer": {"language": settings.language, "model": model},
        "lights": {"driver": settings.lights},
    }
    tables: dict[str, Any] = {}
    for table, keys in said.items():
        if given := {key: value for key, value in keys.items() if value is not None}:
            tables[table] = given
    if settings.microphones is not None:
        tables["microphones"] = [
            {"name": f"microphone-{number}" if number > 1 else "default", "device": device}
            for number, device in enumerate(settings.microphones, 1)
        ]
    return tables
