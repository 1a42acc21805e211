"""``appliance doctor``: one page on how the box is, a listen test, a support file."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from appliance.cli.common import fail, log_to_stderr

if TYPE_CHECKING:
    from rich.console import Console

    from appliance.config import MicrophoneConfig
    from appliance.doctor.box import Box
    from appliance.doctor.findings import Finding

MARKS = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "bold red")}
WORDS = "speech"
"""The finding with what was said; it is for the screen only."""
BAR = 40
"""Columns of the level bar; it ends at 0 dBFS and begins at -60."""
WIDTH = 100
"""Columns where there is no terminal."""


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration; default: the service's.")
@click.option("--url", help="Of the running daemon; default: as the configuration says.")
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="Holds the API key; default: the daemon's own for us."
)
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON array.")
@click.option(
    "--listen",
    "seconds",
    type=click.FloatRange(1, 600),
    is_flag=False,
    flag_value=10.0,
    help="Listen test, 10 s or so long.",
)
@click.option("--microphone", help="With --listen: which of the configured ones; default: the first.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Write a support file (.tar.gz): no audio, text or keys."
)
def doctor(
    file: Path | None, url: str | None, key_file: Path | None, as_json: bool, seconds: float | None,
    microphone: str | None, bundle: Path | None,
) -> None:  # fmt: skip
    """Say how the box is, with or without a running daemon: facts, verdicts, and what to do.

    Ends with 1 when something is bad, with 2 for bad usage. Nothing is changed. Root sees most.
    """
    from appliance.doctor.box import checked, look, named_key
    from appliance.doctor.findings import Verdict, examine, worst

    try:
        url = None if url is None else checked(url)
        key = named_key(key_file) if key_file else None
    except ValueError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{key_file}: {error.strerror}", 2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows and degrees are not in every character set
    log_to_stderr("error")  # the findings say it
    box = look(file, url, key)
    if file is not None and box.config_problem:
        fail(box.config_problem, 2)
    if seconds is not None:
        findings = _listen_test(box, seconds, microphone, quiet=as_json)
    else:
        from appliance.doctor.checks import CHECKS

        findings = examine(box, CHECKS)
    if as_json:
        click.echo(msgspec.json.encode(findings))
    else:
        click.echo(page(findings, colours=sys.stdout.isatty()), nl=False)
    if bundle is not None:
        findings = [each for each in findings if each.title != WORDS]
        _bundle(box, findings, bundle)
    sys.exit(1 if worst(findings) is Verdict.BAD else 0)


def page(findings: Sequence[Finding], colours: bool = False) -> str:
    """The findings as a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = MARKS[finding.verdict]
        text = Text("\n".join(map(_plain, finding.facts)))
        if finding.advice:
            text.append(f"\n→ {_plain(finding.advice)}", style=colour)
        table.add_row(Text(mark, style=colour), Text(finding.title, style="bold"), text)
    out = io.StringIO()
    width = None if colours else WIDTH
    Console(file=out, width=width, force_terminal=colours, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _plain(text: str) -> str:
    """Names of programs and cards, and what answers at the port, are not ours: they get no say over the terminal."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def _listen_test(box: Box, seconds: float, name: str | None, *, quiet: bool) -> list[Finding]:
    """Through the card, or through the daemon's feed when it has the card."""
    from appliance.capture.devices import CaptureError
    from appliance.doctor import feed
    from appliance.doctor.door import Shut
    from appliance.doctor.findings import finding

    known = {each.name: each for each in box.config.microphones}
    names = list(known) if box.microphones is None else [each.name for each in box.microphones]
    if not names or (name is not None and name not in names):
        fail(f"there is no such microphone; there are: {', '.join(names) or 'none'}", 2)
    wanted = name or names[0]
    try:
        if box.running:
            if not quiet:
                click.echo(
                    f"the daemon has the microphone {wanted}: following its feed for {seconds:.0f} s, speak now",
                    err=True,
                )
            return feed.judge(feed.follow(box, wanted, seconds))
        return _record(box, known[wanted], seconds, quiet=quiet)
    except feed.FeedError as error:
        advice = "give it an API key that may listen to microphones: --key-file FILE"
        return [finding("microphone", [], bad=[str(error)], advice=advice)]
    except Shut as error:
        return [finding("microphone", [], bad=[str(error)], advice=error.advice)]
    except CaptureError as error:
        return [finding("microphone", [], bad=[str(error)], advice="which there are: appliance devices")]


def _record(box: Box, microphone: MicrophoneConfig, seconds: float, *, quiet: bool) -> list[Finding]:
    from rich.console import Console

    from appliance.doctor.door import opened
    from appliance.doctor.findings import finding
    from appliance.doctor.listen import hear, judge, listen
    from appliance.doctor.models import selected
    from appliance.engines.registry import detector, load

    recognizer, voice = load(selected(box)), detector(box.config.recognizer.detector)
    console = Console(stderr=True, quiet=quiet)
    with opened(box.config) as guard:
        console.print(
            f"listening to {microphone.name} ({microphone.device}) for {seconds:.0f} s: speak now",
            markup=False,
            highlight=False,
        )
        taken = listen(microphone, seconds, lambda db: _bar(console, db), guard)
    if console.is_terminal:
        console.print(" " * (BAR + 20), end="\r")
    card = finding("microphone", [taken.card, f"{taken.seconds:.1f} s were recorded"])
    return [card, *judge(taken, hear(taken, recognizer, voice))]


def _bar(console: Console, db: float) -> None:
    """The level, in place on a terminal."""
    if console.is_terminal:
        filled = max(0, min(BAR, round((db + 60) / 60 * BAR)))
        colour = "red" if db > -3 else "yellow" if db > -12 else "green"
        console.print(f"[{colour}]{'█' * filled}[/]{'·' * (BAR - filled)} {db:6.1f} dBFS", end="\r")


def _bundle(box: Box, findings: Sequence[Finding], path: Path) -> None:
    from appliance.doctor import bundle

    try:
        inside = bundle.write(box, findings, page(findings), path)
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")
    click.echo(f"\n{path} holds, without audio, text or keys:", err=True)
    for line in inside:
        click.echo(f"  {line}", err=True)
