"""``appliance models``: which languages this device can write, and how to add one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from msgspec import Struct, structs

from appliance.board.detect import detect
from appliance.config import load
from appliance.engines.registry import EngineError
from appliance.packs.accuracy import accuracy_words, wrong_words
from appliance.packs.catalogue import CATALOGUE, Pack, named
from appliance.packs.disk import megabytes
from appliance.packs.selection import EMBEDDED, select
from appliance.packs.store import PackError, Progress, Store, embedded


class Row(Struct, frozen=True, kw_only=True):
    """A line of the list, and its JSON. ``size`` is that on the disk when installed."""

    name: str
    engine: str
    language: str
    region: str = ""
    size: int = 0
    licence: str = ""
    accuracy: str = ""
    note: str = ""
    sources: tuple[str, ...] = ()
    installed: bool = False
    broken: bool = False
    path: str | None = None


LEGEND = "\nwrong: words on clear speech, those of mul for English; * the publisher's figure\n"

where = click.option(
    "--models-dir",
    "store",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=lambda: load().models_dir,
    callback=lambda context, parameter, folder: Store(folder),
    help="Where the models are, if not in the usual place.",
)


@click.group()
def models() -> None:
    """Install, verify and remove speech models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@where
def list_models(store: Store, as_json: bool) -> None:
    """Show the models that are installed and those that can be."""
    with _one_line():
        rows = _rows(store)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "lang", "size", "wrong", "licence", "here", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        state = "broken" if row.broken else "embedded" if row.name in embedded() else "yes" if row.installed else ""
        language = f"{row.language}-{row.region}" if row.region else row.language
        size = megabytes(row.size) if row.size else "?"
        table.add_row(row.name, language, size, wrong_words(row.name), row.licence or "?", state)
    Console().print(table)
    click.echo(LEGEND)
    for row in rows:
        if row.installed:
            click.echo(f"{row.name}: {row.accuracy}")


@models.command()
@click.argument("name_or_path", required=False)
@click.option("--language", help="Two letters, such as en or hi; for a file or folder whose name does not tell.")
@where
def install(store: Store, name_or_path: str | None, language: str | None) -> None:
    """Install a model by its name in the list, or from a zip file or folder; without a name, the next better one."""
    name_or_path = name_or_path or _better(store)
    with _one_line(), _bar(name_or_path) as progress:
        pack = store.install(name_or_path, progress=progress, language=language)
    click.echo(f"{pack.name} is installed: language {pack.language}, {megabytes(pack.size)}")


@models.command()
@click.argument("name", required=False)
@where
def verify(store: Store, name: str | None) -> None:
    """Read a model (all when no NAME is given) and tell whether it is as it was installed."""
    with _one_line():
        found = {one: store.verify(one) for one in ([name] if name else store.names())}
    for one, problems in found.items():
        for problem in problems or ["good"]:
            click.echo(f"{one}: {problem}", err=bool(problems))
    if any(found.values()):
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("name")
@where
def remove(store: Store, name: str) -> None:
    """Remove an installed model."""
    with _one_line():
        store.remove(name)
    click.echo(f"{name} is removed")


def _better(store: Store) -> str:
    """Return the pack that suits this kind of board and is more accurate than what is installed."""
    try:
        better = select(store, preferred=detect().models).better
    except EngineError:
        better = EMBEDDED
    if not better:
        raise click.UsageError("which model? The best one for this board is there; see: appliance models list")
    return better


def _rows(store: Store) -> list[Row]:
    """First what is here, then what can be had, in the catalogue's order."""
    installed = {pack.name: pack for pack in store.installed()}
    names = store.names()
    rows = []
    for name in names:
        row = _row(named(name) or Pack(name, "", "und"))
        if here := installed.get(name):
            row = structs.replace(
                row,
                engine=here.engine,
                language=here.language,
                size=here.size,
                licence=here.licence,
                accuracy=accuracy_words(here.name, here.language),
                path=str(here.path),
                installed=True,
            )
        else:
            row = structs.replace(row, broken=True)
        rows.append(row)
    return rows + [_row(pack) for pack in CATALOGUE if pack.sources and pack.name not in names]


def _row(pack: Pack) -> Row:
    return Row(
        name=pack.name,
        engine=pack.engine,
        language=pack.language,
        region=pack.region,
        size=pack.size,
        licence=pack.licence,
        accuracy=accuracy_words(pack.name, pack.language),
        note=pack.note,
        sources=tuple(source.title for source in pack.sources),
    )


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    """A moving bar on a terminal, else one line that says what is going on."""
    from rich import progress as rich
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        click.echo(f"installing {what}", err=True)
        yield lambda done, total: None
        return
    columns = rich.TextColumn("{task.description}"), rich.BarColumn(), rich.DownloadColumn(), rich.TimeRemainingColumn()
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _one_line() -> Iterator[None]:
    """A PackError as one line on stderr and exit code 1."""
    try:
        yield
    except PackError as error:
        raise click.ClickException(str(error)) from error
