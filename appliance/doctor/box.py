"""The box that is looked at: its configuration, and what the running daemon says of itself."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from appliance import config as configuration
from appliance.config import Config, ConfigError

SYSTEM = Path("/etc/appliance/appliance.toml")
"""The installed service's configuration."""
RUNTIME = Path("/run/appliance")
KEY = "selftest.key"
"""In the runtime directory: the daemon's key for whoever may read it."""
ANSWER_S = 10.0
"""For an answer; the daemon holds back strangers for up to 5."""

STATE = re.compile(r'^appliance_microphone_state{microphone="([^"]*)",state="([^"]*)"} 1', re.MULTILINE)
OVERRUNS = re.compile(r'^appliance_microphone_overruns_total{microphone="([^"]*)"} (\S+)', re.MULTILINE)
"""Samples in the daemon's metrics."""


class Listened(Struct, frozen=True, kw_only=True):
    """A microphone of the running daemon: its state, that in words, and how often it lost audio."""

    name: str
    state: str
    words: str = ""
    overruns: int = 0


class Box(Struct, frozen=True, kw_only=True):
    """``health`` and the rest are ``None`` where no daemon answers; ``silent`` then says why."""

    config: Config
    file: Path | None
    config_problem: str = ""
    """Why the file cannot be used; ``config`` is the default one then."""
    url: str
    key: str = ""
    health: dict[str, Any] | None = None
    ready: dict[str, Any] | None = None
    microphones: list[Listened] | None = None
    silent: str = ""
    root: Path = Path("/")

    @property
    def running(self) -> bool:
        """Our daemon answers at ``url``."""
        return self.health is not None


def look(file: Path | None, url: str | None = None, key: str | None = None, root: Path = Path("/")) -> Box:
    """Read the configuration and ask the daemon; ``None`` is what the installed service has. Blocks, never raises."""
    file, problem = usual(file), ""
    try:
        config = configuration.load(file)
    except ConfigError as error:
        config, problem = configuration.load(), str(error)
    url = (url or address(config)).rstrip("/")
    key = key if key is not None else own_key()
    health: dict[str, Any] | None = None
    ready: dict[str, Any] | None = None
    microphones, silent = None, ""
    try:
        health = get(f"{url}/healthz")
        ready = get(f"{url}/readyz")
        if "status" not in health:
            health, silent = None, "what answers there is not this software"
        else:
            microphones = listened(fetch(f"{url}/metrics").decode(), str(health.get("text", "")))
    except (OSError, ValueError) as error:
        silent = _reason(error)
    return Box(
        config=config, file=file, config_problem=problem, url=url, key=key, health=health, ready=ready,
        microphones=microphones, silent=silent, root=root,
    )  # fmt: skip


def listened(page: str, line: str = "") -> list[Listened]:
    """What the metrics say of the microphones; ``line`` is the daemon's status. Pure."""
    lost = dict(OVERRUNS.findall(page))
    found = []
    for name, state in STATE.findall(page):
        said = re.search(rf"microphone {re.escape(name)}: ([^;]*)", line)
        words = said[1] if said and said[1].startswith(state) else state
        found.append(Listened(name=name, state=state, words=words, overruns=int(float(lost.get(name, 0)))))
    return found


def usual(file: Path | None) -> Path | None:
    """The configuration to look at when none is named: the installed service's, if there is one."""
    return file or (SYSTEM if SYSTEM.exists() else None)


def address(config: Config) -> str:
    """Where the daemon of this configuration is reached from this machine, without TLS."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(config.server.host, config.server.host)
    return (
        f"http://[{host}]:{config.server.port}"
        if ":" in host and "[" not in host
        else f"http://{host}:{config.server.port}"
    )


def own_key(file: Path | None = None) -> str:
    """The key that the daemon left for us, where it may be read; elsewhere one that an open house takes.

    A ``file`` that is named has to be readable: OSError.
    """
    if file is not None:
        return file.read_text().strip()
    for folder in (os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0], str(RUNTIME)):
        try:
            return Path(folder, KEY).read_text().strip()
        except OSError:
            continue
    return "doctor"


def get(url: str, key: str = "") -> dict[str, Any]:
    """A page in JSON, also that of a refusal with 503. Raises OSError and ValueError."""
    return msgspec.json.decode(fetch(url, key), type=dict[str, Any])


def fetch(url: str, key: str = "") -> bytes:
    """A page of this machine's own, so never by a proxy. Raises OSError and ValueError."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 503:
                raise
            body = error.read()
    return body


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason)
