"""What the configuration may say of names, proxies and pages."""

from __future__ import annotations

from typing import Any

import pytest

from appliance import parts
from appliance.config import ConfigError, load


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"tls": {"names": ["büro"]}}, "tls.names"),
        ({"server": {"proxies": ["proxy.example"]}}, "server.proxies"),
        ({"server": {"proxies": ["10.0.0.0/40"]}}, "server.proxies"),
        ({"server": {"allowed_origins": ["app.example"]}}, "server.allowed_origins"),
        ({"server": {"allowed_origins": ["https://App.example"]}}, "server.allowed_origins"),
        ({"server": {"allowed_origins": ["https://app.example/"]}}, "server.allowed_origins"),
    ],
)
def test_check_bad_value_error_names_key(tables: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parts.check(load(None, tables))


@pytest.mark.parametrize(
    "server",
    [
        {"proxies": ["127.0.0.1", "10.0.0.0/8", "::1"]},
        {"allowed_origins": ["*", "null", "file://", "https://app.example:8443", "chrome-extension://abc"]},
    ],
)
def test_check_good_values_taken(server: dict[str, Any]) -> None:
    parts.check(load(None, {"server": server, "tls": {"names": ["*.example.org", "192.168.7.9"]}}))


def test_device_hosts_configured_certificate_announced_known() -> None:
    hosts = parts.device_hosts(load(None, {"tls": {"names": ["STT.example.org"]}}), None, lambda: "kitchen-2.local")
    assert all(hosts.knows(name) for name in ("stt.example.org", "kitchen-2.local", "localhost:8080"))
    assert not hosts.knows("evil.example")
