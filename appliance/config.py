"""One TOML file to frozen structs. ``default.toml`` beside this file is the documentation."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from appliance.core.options import Endpointing
from appliance.scheduling.settings import Settings

DEFAULT = Path(__file__).with_name("default.toml")

Rate = Literal[8000, 16000, 44100, 48000]


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the key and what was expected."""


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, Meta(ge=0, le=65535)]
    max_message_bytes: Annotated[int, Meta(ge=65536)]
    auth: Literal["auto", "keys", "open"]
    drain_s: Annotated[float, Meta(ge=0, le=600)]
    state_dir: str
    max_upload_bytes: Annotated[int, Meta(ge=65536)]
    max_connections: Annotated[int, Meta(ge=8)]
    max_connections_per_address: Annotated[int, Meta(ge=4)]
    allowed_origins: tuple[str, ...]
    proxies: tuple[str, ...]


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool
    port: Annotated[int, Meta(ge=0, le=65535)]
    certificate: str
    key: str
    names: tuple[str, ...]


class Recognizer(Struct, frozen=True, forbid_unknown_fields=True):
    engine: Literal["auto", "whisper", "vosk"]
    model: str
    language: Annotated[str, Meta(pattern=r"^(auto|[a-z]{2,3})$")]
    detector: Literal["silero", "energy"]
    models_dir: str


class Board(Struct, frozen=True, forbid_unknown_fields=True):
    profile: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$")]


class Lights(Struct, frozen=True, forbid_unknown_fields=True):
    driver: Literal["auto", "gpio", "none"]
    status: str
    microphone: str
    activity: str
    button: str
    active_low: bool

    @property
    def named(self) -> bool:
        """The owner has said where something is wired."""
        return bool(self.status or self.microphone or self.activity or self.button)


class Discovery(Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool
    name: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"]


class MicrophoneConfig(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "default"
    device: str = "default"
    rate: Rate = 16000
    channel: Annotated[int, Meta(ge=0, le=63)] | None = None
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")] | None = None


DEFAULT_MICROPHONES = (MicrophoneConfig(),)
"""Listened to when nobody says otherwise."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: Server
    tls: Tls
    recognizer: Recognizer
    endpointing: Endpointing
    scheduling: Settings
    board: Board
    lights: Lights
    discovery: Discovery
    log: Log
    limits: dict[str, dict[str, Annotated[float, Meta(ge=0)] | Literal[False]]] = {}
    microphones: tuple[MicrophoneConfig, ...] = DEFAULT_MICROPHONES

    @property
    def models_dir(self) -> Path:
        """Where packs are installed."""
        named = self.recognizer.models_dir
        return state_dir() / "models" if named == "auto" else Path(os.path.expanduser(named))

    @property
    def state_dir(self) -> Path:
        """Where keys, usage and certificates are kept."""
        named = self.server.state_dir
        return state_dir() if named == "auto" else Path(os.path.expanduser(named))


def load(path: Path | None = None, overrides: dict[str, dict[str, Any]] | None = None) -> Config:
    """The defaults, a file over them, and over both what the command line says. Raises ``ConfigError``."""
    values = tomllib.loads(DEFAULT.read_text())
    if path is not None:
        try:
            own = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # TOMLDecodeError, no UTF-8, numbers and nesting without end
            raise ConfigError(f"{path}: {error}") from error
        lay_over(values, own)
    lay_over(values, overrides or {})
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'configuration'}: {_readable(str(error))}") from error
    names = [microphone.name for microphone in config.microphones]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path or 'configuration'}: microphones.name: two microphones have the same name")
    if bool(config.tls.certificate) != bool(config.tls.key):
        missing = "key" if config.tls.certificate else "certificate"
        raise ConfigError(f"{path or 'configuration'}: tls.{missing}: is empty; a certificate of your own needs both")
    return config


def state_dir() -> Path:
    """The default place of all that is kept: the service's state directory, else the user's data."""
    state = os.environ.get("STATE_DIRECTORY")
    if state:
        return Path(state.split(":")[0])
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "appliance"


def lay_over(values: dict[str, Any], own: dict[str, Any]) -> None:
    """Put ``own`` over ``values``: tables key by key, all else as a whole."""
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            lay_over(values[key], value)
        else:
            values[key] = value


def _readable(error: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.server.port`" with the key first."""
    what, _, where = error.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    return f"{key}: {what}" if key else what
