"""What several commands share: the configuration's options, logging, and failing in one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from appliance import config
from appliance.board import journal
from appliance.board.notify import Supervisor
from appliance.config import Config, ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS: dict[str, tuple[str, str]] = {
    "engine": ("recognizer", "engine"),
    "model": ("recognizer", "model"),
    "language": ("recognizer", "language"),
    "host": ("server", "host"),
    "port": ("server", "port"),
    "tls_port": ("tls", "port"),
    "auth": ("server", "auth"),
    "state_dir": ("server", "state_dir"),
    "tls": ("tls", "enabled"),
    "calibrate": ("scheduling", "calibrate"),
}
"""Command line option -> table and key of the configuration."""


def recognizer_options(command: Command) -> Command:
    """``--config --engine --model --language``."""
    for option in (
        click.option("--language", help="ISO 639-1 code, as in 'en'."),
        click.option("--model", help="A pack's name, or the folder of a model."),
        click.option("--engine", help="whisper, vosk or auto."),
        click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file (TOML)."),
    ):
        command = option(command)
    return command


def configured(file: Path | None, **given: Any) -> Config:
    """The configuration with what the command line says over it; ends the program when it is bad."""
    try:
        return config.load(file, overrides(given))
    except ConfigError as error:
        fail(str(error), 2)


def overrides(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Command line options that were given, as tables of the configuration."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if value is not None:
            table, key = OPTIONS[name]
            tables.setdefault(table, {})[key] = value
    return tables


def log_to_stderr(level: str) -> None:
    """One line per record, or a record with its fields where the journal listens; the time is theirs to tell."""
    if (handler := journal.handler()) is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """One line on standard error, and out; systemd shows it too, where it looks after us."""
    Supervisor().status(message)
    click.echo(f"appliance: {message}", err=True)
    sys.exit(status)
