"""``appliance keys``: who may stream on this box, and how much. A running daemon sees every change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from appliance.accounts.keys import Key, Keys, KeysError
from appliance.accounts.usage import UsageError, recorded
from appliance.cli.common import Command, configured
from appliance.core.problems import Kind
from appliance.setup.keys import reserved

DAY_S = 86400.0

STATES: dict[Kind | None, str] = {
    None: "good",
    Kind.BAD_KEY: "expired",
    Kind.TERMS_NOT_ACCEPTED: "terms not accepted",
    Kind.NOT_ALLOWED: "no streaming",
    Kind.QUOTA_EXCEEDED: "used up",
}


class Row(Struct, frozen=True):
    """A line of the list, and its JSON. Times in unix seconds; ``None`` is no limit."""

    id: str
    name: str
    created: float
    expires: float | None
    streams: int | None
    seconds: float | None
    used_seconds: float
    streaming: bool
    terms: bool
    admin: bool
    microphones: bool
    state: str


STATE = "appliance.state_dir"
"""Where a command's context keeps ``--state-dir``."""


def _keep(context: click.Context, parameter: click.Parameter, folder: str | None) -> None:
    context.meta[STATE] = folder


def _folder(context: click.Context, parameter: click.Parameter, file: Path | None) -> Path:
    return configured(file, state_dir=context.meta.get(STATE)).state_dir / "accounts"


def where(command: Command) -> Command:
    """``--config --state-dir``: where the keys are; ``appliance serve`` has the same options."""
    for option in (
        click.option("--state-dir", is_eager=True, expose_value=False, callback=_keep, help="Where the keys are kept."),
        click.option(
            "--config",
            "folder",
            type=click.Path(path_type=Path),
            callback=_folder,
            help="Configuration file (TOML): it says where the keys are.",
        ),
    ):
        command = option(command)
    return command


def limits(command: Command) -> Command:
    """What a key may do: the options of ``create`` and ``set``, ``None`` when not given."""
    for option in (
        click.option(
            "--microphones/--no-microphones",
            default=None,
            help="Whether it may listen to the device's microphones; it may not by default.",
        ),
        click.option("--admin/--no-admin", default=None, help="Whether it may send updates; it may not by default."),
        click.option("--terms/--no-terms", default=None, help="Whether the terms are accepted; they are by default."),
        click.option("--streaming/--no-streaming", default=None, help="Whether it may stream; it may by default."),
        click.option(
            "--expires", metavar="DAYS", type=click.FloatRange(0, 36500), help="From now; 0 for never, the default."
        ),
        click.option("--unlimited", is_flag=True, help="Any amount of audio, the default."),
        click.option(
            "--minutes", metavar="M", type=click.FloatRange(0, 1e9), help="Of audio in all, what is used included."
        ),
        click.option(
            "--streams", metavar="N", type=click.IntRange(0), help="At a time; 0 for any number, the default."
        ),
    ):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Create, list, change and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--key", metavar="VALUE", help="A key of your own, for an application whose key cannot be changed.")
@limits
@where
def create(folder: Path, name: str, key: str | None, **given: Any) -> None:
    """Make a key for NAME (an application, a person) and print it."""
    if reserved(name):
        raise click.UsageError("keys of such a name come and go with the card of the box; choose another name")
    with _one_line():
        made, text = Keys(folder).create(name, now=time.time(), own=key, **_fields(**given))
    click.echo(f"{made.id} is created; its key is shown now and never again, for only a hash of it is kept:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@where
def list_keys(folder: Path, as_json: bool) -> None:
    """Show the keys. Minutes are those used and those allowed; a running daemon writes them every 10 seconds."""
    with _one_line():
        rows = _rows(folder)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "name", "streams", "minutes", "expires", "state", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        expires = f"{datetime.fromtimestamp(row.expires):%Y-%m-%d %H:%M}" if row.expires is not None else "never"
        table.add_row(row.id, escape(row.name), str(row.streams or "any"), _minutes(row), expires, row.state)
    Console().print(table)


@keys.command()
@click.argument("id")
@where
def revoke(folder: Path, id: str) -> None:
    """Make the key ID worthless at once; its streams end."""
    with _one_line():
        revoked = Keys(folder).revoke(id)
    click.echo(f"{id} ({revoked.name}) is revoked")


@keys.command("set")
@click.argument("id")
@limits
@where
def set_limits(folder: Path, id: str, **given: Any) -> None:
    """Change what the key ID may do; what is not named stays."""
    fields = _fields(**given)
    if not fields:
        raise click.UsageError("nothing to change; name an option")
    with _one_line():
        changed = Keys(folder).change(id, **fields)
    click.echo(f"{id} ({changed.name}) is changed")


def _fields(
    streams: int | None, minutes: float | None, unlimited: bool, expires: float | None, **flags: bool | None
) -> dict[str, Any]:
    """The fields of ``Key`` that were asked for."""
    if unlimited and minutes is not None:
        raise click.UsageError("--minutes and --unlimited exclude each other")
    fields: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    if streams is not None:
        fields["streams"] = streams or None
    if minutes is not None or unlimited:
        fields["seconds"] = None if minutes is None else minutes * 60
    if expires is not None:
        fields["expires"] = time.time() + expires * DAY_S if expires else None
    return fields


def _rows(folder: Path) -> list[Row]:
    now, used = time.time(), recorded(folder)
    return [_row(key, used.get(key.id, 0.0), now) for key in Keys(folder).all()]


def _row(key: Key, used: float, now: float) -> Row:
    state = STATES[key.trouble(used, now)] + ", may update" * key.admin + ", may listen" * key.microphones
    return Row(
        key.id,
        key.name,
        key.created,
        key.expires,
        key.streams,
        key.seconds,
        used,
        key.streaming,
        key.terms,
        key.admin,
        key.microphones,
        state,
    )


def _minutes(row: Row) -> str:
    allowed = f"of {row.seconds / 60:.10g}" if row.seconds is not None else "of any"
    return f"{row.used_seconds / 60:.1f} {allowed}"


@contextmanager
def _one_line() -> Iterator[None]:
    """What failed as one line on stderr: exit code 2 for a bad value, 1 for all else."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (KeysError, UsageError) as error:
        raise click.ClickException(str(error)) from error
