"""From the configuration to the daemon's parts. What cannot be had is a ``ConfigError`` that names the key."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from appliance import __version__
from appliance.accounts.gate import Accounts, KeysError
from appliance.board.detect import Profile, ProfileError, detect, named
from appliance.board.lamps import GpiodLamps, Lamps, NoLamps
from appliance.board.lights import Lamp
from appliance.config import Board, Config, ConfigError, Lights
from appliance.core.options import Limits
from appliance.dialects import DIALECTS
from appliance.server import machine
from appliance.server.authority import Authority
from appliance.server.certificates import CertificateError
from appliance.server.hosts import Hosts
from appliance.server.listening import ListenError, listen
from appliance.server.naming import hosts, own_id
from appliance.server.sockets import Sockets
from appliance.server.tls import Own, Tls

if TYPE_CHECKING:
    from appliance.server.discovery import Announcement

log = logging.getLogger(__name__)

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\sA-Z]*")
"""As browsers send it (RFC 6454, 6.2); those of applications have other schemes, and files none but the scheme."""


def accounts(config: Config) -> Accounts:
    """Who may come in."""
    folder = config.state_dir / "accounts"
    try:
        return Accounts(folder, open_house=open_house(config), clock=time.time, ticks=time.monotonic)
    except KeysError as error:
        raise ConfigError(str(error)) from error


def open_house(config: Config) -> bool:
    """Any key that is not empty is good."""
    auth = config.server.auth
    return auth == "open" or (auth == "auto" and is_loopback(config.server.host))


def limits(own: Mapping[str, Mapping[str, float]]) -> dict[str, Limits]:
    """The dialects' limits with the owner's over them; false lifts one."""
    known = {dialect.name: dialect.limits for dialect in DIALECTS}
    for name, changes in own.items():
        if name not in known:
            raise ConfigError(f"limits.{name}: there is no such dialect; there are {', '.join(known)}")
        if "flush_s" in changes and known[name].flush_s is None:
            raise ConfigError(f"limits.{name}.flush_s: clients of this dialect say themselves when they want an answer")
        lifted = {key: None if value is False else value for key, value in changes.items()}
        try:
            known[name] = msgspec.convert({**structs.asdict(known[name]), **lifted}, Limits, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"limits.{name}: {error}") from error
    return known


def tls(config: Config) -> Tls | None:
    """The TLS side; None when it is off, or when the box's own authority fails: that is logged."""
    settings = config.tls
    if not settings.enabled:
        return None
    check_names(config)
    if settings.certificate:
        try:
            return Tls(Own(Path(settings.certificate).expanduser(), Path(settings.key).expanduser()))
        except CertificateError as error:
            raise ConfigError(str(error)) from error
    try:
        names = (*settings.names, *hosts(socket.gethostname(), own_id()))
        return Tls(Authority(config.state_dir / "tls", partial(machine.names, names)))
    except CertificateError as error:
        log.error("TLS is off: %s", error)
        return None


def check_names(config: Config) -> None:
    """What else the box is called must be names or addresses."""
    try:
        machine.names(config.tls.names)
    except ValueError as error:
        raise ConfigError(f"tls.names: {error}") from error


def check(config: Config) -> None:
    """Raise ``ConfigError`` for names, addresses and origins that are none."""
    check_names(config)
    check_proxies(config)
    check_origins(config)


def check_proxies(config: Config) -> None:
    """Raise ``ConfigError`` unless ``server.proxies`` are addresses and networks."""
    for each in config.server.proxies:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError as error:
            raise ConfigError(
                f"server.proxies: {each!r} is neither an address nor a network, as 192.168.7.2 or 10.0.0.0/8"
            ) from error


def check_origins(config: Config) -> None:
    """Raise ``ConfigError`` unless ``server.allowed_origins`` are origins as browsers send them."""
    for each in config.server.allowed_origins:
        if each not in ("*", "null") and not ORIGIN.fullmatch(each):
            raise ConfigError(
                f"server.allowed_origins: {each!r} is no origin; write scheme and host in lower case, and the port "
                'unless it is the usual one, as "https://app.example"'
            )


def sockets(config: Config) -> Sockets:
    """The bounds of all connections."""
    server = config.server
    return Sockets(server.max_connections, server.max_connections_per_address, server.proxies)


def device_hosts(config: Config, tls: Tls | None, published: Callable[[], str]) -> Hosts:
    """The names by which clients may ask: the host's, configured ones, the certificate's, and those that mDNS tells."""
    fixed = {name.lower() for name in (*config.tls.names, *hosts(socket.gethostname(), own_id()))}
    return Hosts(fixed, lambda: (published(), *(tls.names if tls else ())))


def listening(table: str, host: str, port: int) -> socket.socket:
    """A listening socket; ``table`` is the one of the configuration that asks for it."""
    try:
        return listen(host, port)
    except ListenError as error:
        raise ConfigError(f"{table}: {error}") from error


def profile(settings: Board) -> Profile:
    """What is known of the board."""
    try:
        return detect() if settings.profile == "auto" else named(settings.profile)
    except ProfileError as error:
        raise ConfigError(f"board.profile: {error}") from error


def announcement(
    config: Config, bound: tuple[str, int], tls_port: int | None, languages: Iterable[str]
) -> Announcement:
    """What the network is told."""
    from appliance.server.discovery import Announcement

    host = socket.gethostname()
    return Announcement(
        name=host.partition(".")[0] if config.discovery.name == "auto" else config.discovery.name,
        host=host,
        id=own_id(),
        bound=bound[0],
        port=bound[1],
        tls_port=tls_port,
        version=__version__,
        auth="open" if open_house(config) else "keys",
        languages=tuple(sorted(set(languages))),
        paths={dialect.name: dialect.paths[0] for dialect in DIALECTS},
    )


def lamps(settings: Lights, profile: Profile) -> Lamps:
    """The lamps as the board's profile says, and over it what the owner has said. Looked for when first switched."""
    lines = _lines(settings, profile)
    wired = {lamp: line for lamp in Lamp if (line := lines[lamp.value])}
    return GpiodLamps(wired, active_low=settings.active_low) if wired else NoLamps()


def button(settings: Lights, profile: Profile) -> str:
    """The line of the button; empty when there is none."""
    return _lines(settings, profile)["button"]


def _lines(settings: Lights, profile: Profile) -> dict[str, str]:
    """What is wired where: names of lines, empty ones for nothing."""
    known = {lamp.value: getattr(profile.lamps, lamp.value) for lamp in Lamp} | {"button": profile.button}
    own = {name: getattr(settings, name) for name in known}
    if settings.driver == "none" or (settings.driver == "auto" and not settings.named):
        return dict.fromkeys(known, "")
    return own if settings.driver == "auto" else {name: own[name] or line for name, line in known.items()}


def is_loopback(host: str) -> bool:
    """Only programs on this machine can come in there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
