"""The files of iwd, systemd-networkd and systemd-timesyncd."""

from __future__ import annotations

import re

from appliance.setup.files import File
from appliance.setup.settings import Settings, Wifi

STATIC = "/etc/systemd/network/10-appliance.network"
"""Before the image's own, which asks for an address: of a link's files systemd-networkd takes the first."""


def files(settings: Settings) -> list[File]:
    """All that the settings need; none when they say nothing of the network."""
    found = [_known(network) for network in settings.wifi]
    if settings.country:
        found.append(File("/etc/iwd/main.conf", f"[General]\nCountry={settings.country}\n"))
    if settings.address:
        found.append(File(STATIC, _static(settings)))
    if settings.time_servers:
        text = f"[Time]\nNTP={' '.join(settings.time_servers)}\n"
        found.append(File("/etc/systemd/timesyncd.conf.d/appliance.conf", text))
    return found


def _known(network: Wifi) -> File:
    """iwd.network(5). The same password serves WPA2 and WPA3, as the access point has it."""
    text = "[Settings]\nAutoConnect=true\n"
    if network.hidden:
        text += "Hidden=true\n"
    if network.password is not None:
        text += f"\n[Security]\nPassphrase={escaped(network.password)}\n"
    kind = "open" if network.password is None else "psk"
    return File(f"/var/lib/iwd/{encoded(network.name)}.{kind}", text, 0o600)


def encoded(ssid: str) -> str:
    """A network's name as iwd names its file: as it is, or = and its bytes in hexadecimal."""
    return ssid if re.fullmatch("[A-Za-z0-9_ -]+", ssid) else f"={ssid.encode().hex()}"


def escaped(value: str) -> str:
    """As iwd reads a value: it drops spaces before it, and a backslash begins an escape."""
    text = value.replace("\\", "\\\\")
    rest = text.lstrip(" ")
    return "\\s" * (len(text) - len(rest)) + rest


def _static(settings: Settings) -> str:
    """systemd.network(5). The radio's when a Wi-Fi network is named, else the cable's; the other asks for its own."""
    assert settings.address is not None
    servers = settings.dns or ((settings.gateway,) if settings.gateway else ())
    lines = [
        "[Match]",
        f"Type={'wlan' if settings.wifi else 'ether'}",
        "",
        "[Network]",
        "DHCP=no",
        f"Address={settings.address.address}",
        *([f"Gateway={settings.gateway}"] if settings.gateway else []),
        *(f"DNS={server}" for server in servers),
        "MulticastDNS=yes",
        "LLMNR=no",
    ]
    return "\n".join(lines) + "\n"
