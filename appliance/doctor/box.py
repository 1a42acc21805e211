"""The box that is looked at: its configuration, and what the running daemon says of itself."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import Future
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from appliance import config as configuration
from appliance.config import Config, ConfigError
from appliance.parts import is_loopback
from appliance.server import machine

SYSTEM = Path("/etc/appliance/appliance.toml")
"""The installed service's configuration."""
RUNTIME = Path("/run/appliance")
KEY = "selftest.key"
"""In the runtime directory: the daemon's key for whoever may read it."""
ANY = "doctor"
"""A key for an open house."""
KEY_BYTES = 200
"""More than any key has."""
OURS = re.compile(rb"[A-Za-z0-9_-]+")
"""What the daemon's keys are made of."""
ANSWER_S = 10.0
"""For a whole answer; the daemon holds back strangers for up to 5."""
LARGEST = 1 << 20
"""Bytes of an answer."""
STRANGER = "what answers there is not this software"
EXAMPLE = "a URL looks like http://127.0.0.1:8080"

OVERRUNS = re.compile(r'^appliance_microphone_overruns_total{microphone="([^"]*)"} (\S+)', re.MULTILINE)
"""A sample in the daemon's metrics."""


class Listened(Struct, frozen=True, kw_only=True):
    """A microphone of the running daemon: its state, why, and how often it lost audio, when that is known."""

    name: str
    state: str
    reason: str
    overruns: float | None = None


class Box(Struct, frozen=True, kw_only=True):
    """``health`` and the rest are ``None`` where no daemon answers; ``silent`` then says why.

    To other machines a daemon that wants keys does not tell of its microphones: they are ``None`` as well.
    """

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
    if key is None:
        try:
            key = own_key(url)
        except PermissionError:
            key = ANY
    health: dict[str, Any] | None = None
    ready: dict[str, Any] | None = None
    microphones, silent = None, ""
    try:
        health = get(f"{url}/healthz")
        if "status" not in health:
            raise ValueError(STRANGER)
        ready = get(f"{url}/readyz")
        if "microphones" in health:
            microphones = listened(health["microphones"], fetch(f"{url}/metrics").decode(errors="replace"))
    except OSError as error:
        silent = error.strerror or str(error) or type(error).__name__
    except ValueError:
        health, ready, silent = None, None, STRANGER
    return Box(
        config=config, file=file, config_problem=problem, url=url, key=key, health=health, ready=ready,
        microphones=microphones, silent=silent, root=root,
    )  # fmt: skip


def listened(told: Any, metrics: str) -> list[Listened]:
    """The microphones that the health page tells of, with the metrics' counts. Pure; raises ValueError."""
    lost = {name: float(count) for name, count in OVERRUNS.findall(metrics)}
    return [structs.replace(each, overruns=lost.get(each.name)) for each in msgspec.convert(told, list[Listened])]


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


def checked(url: str) -> str:
    """A URL that can be asked, without a slash at its end. Raises ValueError, whose message is one line."""
    try:
        parts = urlsplit(url)
        machine.canonical(parts.hostname or "")
        good = re.fullmatch(r"https?://[!-~]+", url) and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{url!r}: {EXAMPLE}")
    return url.rstrip("/")


def named_key(file: Path) -> str:
    """The key that somebody keeps in a file. Raises OSError, and ValueError when there is none in it."""
    with file.open("rb") as opened:
        key = opened.read(KEY_BYTES + 1).strip()
    if len(key) > KEY_BYTES or not re.fullmatch(rb"[!-~]+", key):
        raise ValueError(f"{file}: there is no key in it")
    return key.decode()


def own_key(url: str) -> str:
    """The key that the daemon left for us, for a ``url`` of this machine; else one that an open house takes.

    Raises PermissionError: there is one and this user may not read it.
    """
    if not here(url):
        return ANY
    for folder in (os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0], str(RUNTIME)):
        try:
            key = _left(Path(folder, KEY))
        except PermissionError:
            raise
        except OSError:
            continue
        if key:
            return key
    return ANY


def here(url: str) -> bool:
    """Whether that is this machine, by one of its own names and addresses."""
    host = urlsplit(url).hostname or ""
    return is_loopback(host) or host in machine.names()


def get(url: str) -> dict[str, Any]:
    """A page in JSON, also that of a refusal with 503. Raises OSError and ValueError."""
    try:
        return msgspec.json.decode(fetch(url), type=dict[str, Any])
    except RecursionError as error:
        raise ValueError(STRANGER) from error


def fetch(url: str) -> bytes:
    """A page of this machine's own, so never by a proxy, nor where else it points to. Whatever answers there, this ends
    within ``ANSWER_S``. Raises OSError."""
    done: Future[bytes] = Future()

    def work() -> None:
        try:
            done.set_result(_page(url))
        except Exception as error:
            done.set_exception(error)

    Thread(target=work, daemon=True).start()  # who sends a byte now and then is left to it
    try:
        return done.result(ANSWER_S)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {ANSWER_S:.0f} s") from error
    except OSError:  # some are of the next kinds too
        raise
    except (HTTPException, ValueError) as error:
        raise OSError(f"{STRANGER} ({type(error).__name__})") from error


def _page(url: str) -> bytes:
    """Raises OSError, HTTPException, ValueError."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=ANSWER_S)) as connection:
        connection.request("GET", parts.path)
        with closing(connection.getresponse()) as answer:
            if answer.status not in (200, 503):
                raise OSError(f"it answers with HTTP status {answer.status}")
            body = answer.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise OSError(f"{STRANGER} (a page of more than 1 MiB)")
    return body


def _left(path: Path) -> str:
    """What the daemon wrote there; nothing where it cannot have been the daemon. Raises OSError.

    Root reads it in a folder of the daemon's: a link there could lead to any secret of the machine.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        content = file.read(KEY_BYTES + 1)
    key = content.strip()
    return key.decode() if len(content) <= KEY_BYTES and OURS.fullmatch(key) else ""
