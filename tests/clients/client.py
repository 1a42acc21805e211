"""A client: a vendor's SDK with an application for it, and how it is pointed at a box."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from msgspec import Struct

from appliance.accounts.keys import Keys
from appliance.daemon import Daemon
from appliance.engines.registry import ModelSpec
from tests.box import box, url, whisper
from tests.clients.application import Application, require, running
from tests.clients.material import Audio
from tests.clients.page import WORKS, proves
from tests.clients.sdks import Sdk


class Client(Struct, frozen=True):
    """``scheme`` is that of its base URL; one that ends in s is TLS, with the box's own authority trusted."""

    dialect: str
    sdk: Sdk
    script: str
    scheme: str
    arguments: tuple[str, ...] = ()
    called: str = ""
    """On the page, where the SDK's name does not say enough."""

    @property
    def title(self) -> str:
        return self.called or self.sdk.title

    @property
    def secure(self) -> bool:
        return self.scheme.endswith("s") and self.scheme != "ws"

    def box(self, *models: ModelSpec, **settings: dict[str, Any]) -> AbstractAsyncContextManager[Daemon]:
        """A real recogniser, Whisper if none is named, with what this client needs. Skips without its SDK."""
        require(self.sdk)
        return box(
            *(models or (whisper(),)), **({"tls": {"enabled": True, "port": 0}} if self.secure else {}), **settings
        )

    def running(
        self,
        daemon: Daemon,
        audio: Audio | None = None,
        *,
        pace: float = 0.0,
        key: str = "any",
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[Application]:
        """The application. ``options`` are written as in Python; those for Node.js are made camelCase."""
        if self.sdk.registry == "npm":
            options = {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in options.items()}
        base_url, extra = url(daemon, self.scheme), dict(environment or {})
        if self.secure:
            assert daemon.bound_tls is not None
            base_url = f"{self.scheme}://127.0.0.1:{daemon.bound_tls[1]}"
            authority = str(daemon.config.state_dir / "tls" / "ca.pem")
            extra |= {"SSL_CERT_FILE": authority, "NODE_EXTRA_CA_CERTS": authority}
        return running(
            self.sdk, self.script, *self.arguments,
            base_url=base_url, key=key, audio=audio, pace=pace, options=options, **extra,
        )  # fmt: skip

    async def run(self, daemon: Daemon, audio: Audio | None = None, **rest: Any) -> Application:
        """The application, from its start to a good end."""
        async with self.running(daemon, audio, **rest) as application:
            return await application.ended()


def each(clients: Iterable[Client], feature: str, outcome: str = WORKS) -> pytest.MarkDecorator:
    """A test for each of the clients, and the line of the page that each proves."""
    return pytest.mark.parametrize(
        "client",
        [
            pytest.param(client, marks=proves(client.dialect, client.title, feature, outcome), id=client.title)
            for client in clients
        ],
    )


KEYS: dict[str, Any] = {"auth": "keys"}
"""The box's settings for a house with keys."""
UNKNOWN = "not-a-key-of-this-box"


def key(daemon: Daemon, **limits: Any) -> str:
    """A key of this box. ``limits`` are fields of ``Key``."""
    return Keys(daemon.config.state_dir / "accounts").create("customer", now=time.time(), **limits)[1]


async def streams(daemon: Daemon) -> int:
    """How many are open."""
    async with httpx.AsyncClient(base_url=url(daemon)) as web:
        return int((await web.get("/healthz")).json()["streams"])
