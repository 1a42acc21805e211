"""``appliance setup``: what the owner wrote on the card, applied. Run at every start, before the network."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"),
    help="The system to write to; with another one than / nothing is started.",
)  # fmt: skip
@click.option("--card", type=click.Path(path_type=Path), help="The card's FAT partition; default: ROOT/boot/firmware.")
@click.option("--data", type=click.Path(path_type=Path), help="The data partition; default: ROOT/data.")
def setup(root: Path, card: Path | None, data: Path | None) -> None:
    """Apply appliance.txt and appliance.toml of the card to the system, as root. docs/setup.md says how.

    Ends with 0 also when lines of them could not be used: those are told here, on the screen and in
    appliance-errors.txt on the card. Ends with 1 when something else failed; the rest is done then, too.
    """
    from appliance.setup.apply import Places, apply, run_here

    outcome = apply(Places(root, card or root / "boot/firmware", data or root / "data"), run_here)
    for problem in outcome.problems:
        click.echo(f"appliance: {problem}", err=True)
    click.echo(f"set up: {outcome.summary}")
    sys.exit(1 if outcome.failed else 0)
