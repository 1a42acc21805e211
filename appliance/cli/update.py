"""``appliance update``: another version of this program, from a file. Tried before it is kept."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
import msgspec

from appliance.cli.common import configured, fail
from appliance.update.manifest import NotTaken
from appliance.update.releases import Places, Status, status
from appliance.update.verdict import Outcome, Verdict

KEPT, BACK, REFUSED = 0, 1, 2
"""How the command ends."""
SPOOLED = Path("/var/cache/appliance/update.bundle")
"""What the daemon was sent. It belongs to the daemon's user, so nothing about it counts but its signature."""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--again", is_flag=True, help="Also when it is as old as what runs, or older.")
@click.option("--status", "show", is_flag=True, help="What is shipped, kept and tried here, and how the last one went.")
@click.option("--json", "as_json", is_flag=True, help="With --status: for programs.")
@click.option("--back", is_flag=True, help="Drop the update that was kept: the shipped program again.")
@click.option("--box", "url", metavar="URL", help="Send FILE to this box, as in http://kitchen.local:8080.")
@click.option("--key-file", type=click.Path(path_type=Path), help="With --box: holds an API key made with --admin.")
@click.option("--try", "trial", is_flag=True, hidden=True)  # by appliance-trial.service
@click.option("--spooled", is_flag=True, hidden=True)  # by appliance-update.service
@click.option("--stick", type=click.Path(path_type=Path), hidden=True)  # by appliance-stick@.service
def update(
    file: Path | None, again: bool, show: bool, as_json: bool, back: bool, url: str | None, key_file: Path | None,
    trial: bool, spooled: bool, stick: Path | None,
) -> None:  # fmt: skip
    """Take the signed bundle FILE: unpack it beside this program, start the service with it, and let that write.

    When it writes the right words it is kept, and the command ends with 0; else what ran before runs again, and it ends
    with 1. It ends with 2 when FILE is refused, and nothing has changed. As root, but for --status and --box.
    """
    places = Places()
    if sum((file is not None, show, back, trial, spooled, stick is not None)) != 1:
        raise click.UsageError("name a FILE, or --status, or --back")
    if show:
        _show(status(places), as_json)
        return
    try:
        if file is not None and url is not None:
            _end(_sent(file, url, key_file))
        if os.geteuid() != 0:
            raise NotTaken("only root may do that")
        os.umask(0o022)  # the daemon's user must be able to read what is unpacked
        if back:
            _back(places)
        elif trial:
            _try(places)
        elif file is not None:
            _end(_taken(file, places, again=again))
        else:
            _unasked(places, stick)
    except NotTaken as error:
        fail(f"refused: {error}", REFUSED)
    except OSError as error:
        fail(f"refused: {error.filename or 'the disk'}: {error.strerror or error}", REFUSED)


def _taken(file: Path, places: Places, *, again: bool = False, follow: bool = True) -> Verdict:
    from appliance.update import flow

    with flow.opened(file, follow=follow) as source:
        return flow.update(source, places, click.echo, time.time, again=again)


def _unasked(places: Places, stick: Path | None) -> None:
    """What came by the network or on a stick: nobody reads what we say, so a refusal is kept as a verdict."""
    from appliance.update import flow

    try:
        file = SPOOLED if stick is None else flow.newest(stick, places, click.echo)
        if file is None:
            return
        verdict = _taken(file, places, follow=False)
    except NotTaken as error:
        flow.refused(places, str(error), time.time)
        raise
    _end(verdict)


def _sent(file: Path, url: str, key_file: Path | None) -> Verdict:
    from appliance.doctor.box import checked, named_key
    from appliance.update import flow, remote

    if key_file is None:
        raise click.UsageError("--box needs --key-file: a key made there with: appliance keys create NAME --admin")
    try:
        box = remote.Remote(checked(url), named_key(key_file))
    except ValueError as error:
        raise NotTaken(str(error)) from error
    with flow.opened(file) as source:
        return remote.update(box, source, os.fstat(source.fileno()).st_size, click.echo)


def _try(places: Places) -> None:
    """Called by the unit, from the program that has proved itself."""
    from appliance.doctor.box import usual
    from appliance.doctor.proof import Prover
    from appliance.update import flow
    from appliance.update.releases import PROGRAM, TRIAL, only_one
    from appliance.update.service import Systemd
    from appliance.update.trial import Trial, try_out

    prover = Prover(configured(usual(None)))
    tree = places.run / TRIAL / PROGRAM
    with only_one(places, trial=True), flow.steps(places, click.echo, "stopping the old program") as tell:
        made = Trial(Systemd(), lambda: prover(tree), tell, time.monotonic, time.sleep)
        _end(try_out(places, made, time.time))


def _back(places: Places) -> None:
    from appliance.update import flow

    dropped = flow.back(places, time.time)
    click.echo(f"{dropped} is dropped: the shipped program is started" if dropped else "no update was kept")


def _end(verdict: Verdict) -> None:
    click.echo(verdict.line)
    sys.exit({Outcome.KEPT: KEPT, Outcome.REFUSED: REFUSED}.get(verdict.outcome, BACK))


def _show(found: Status, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    shipped, running = found.shipped, found.running
    rows = {
        "shipped": shipped.version if shipped else "unknown: this is no installed appliance",
        "update": found.current or "none",
        "in use": (running.version if running else "unknown")
        + ", on trial: ".join(["", found.trial or ""]) * bool(found.trial),
        "now": found.step or "nothing is done",
        "last": found.verdict.line if found.verdict else "there was none",
    }
    click.echo("\n".join(f"{name:8} {value}" for name, value in rows.items()))
