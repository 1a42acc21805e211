"""The names by which a device may be asked."""

from __future__ import annotations

import pytest

from appliance.server.hosts import Hosts, hostname, own


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Kitchen.local:8080", "kitchen.local"),
        ("kitchen.local.", "kitchen.local"),
        ("kitchen.local.:443", "kitchen.local"),
        ("192.168.7.9:8080", "192.168.7.9"),
        ("[FE80::1]:8080", "fe80::1"),
        ("[fe80::1%25eth0]", "fe80::1%25eth0"),
        ("[::1].evil.example", ""),
        ("", ""),
        (":8080", ""),
    ],
)
def test_hostname_header_name_without_port(header: str, name: str) -> None:
    assert hostname(header) == name


@pytest.mark.parametrize(
    "host", ["localhost", "10.0.0.7:80", "[::1]", "stt.example.org", "a.wild.example", "told.local"]
)
def test_hosts_own_name_known(host: str) -> None:
    assert Hosts({"stt.example.org", "*.wild.example"}, lambda: ("told.local",)).knows(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "a.b.wild.example", "wild.example", "10.0.0.7.evil.example", "127.1"]
)
def test_hosts_other_name_unknown(host: str) -> None:
    assert not Hosts({"stt.example.org", "*.wild.example"}, lambda: ("",)).knows(host)


def test_own_full_name_local_domains() -> None:
    names = own("Kitchen.Example.org")
    assert {"kitchen", "kitchen.example.org", "kitchen.local", "kitchen.lan", "kitchen.home.arpa"} <= names
    assert "kitchen.example" not in names
