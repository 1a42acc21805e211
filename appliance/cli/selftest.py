"""``appliance selftest``: does the running daemon hear?"""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli.common import configured, fail, log_to_stderr

if TYPE_CHECKING:
    from appliance.config import Config


@click.command()
@click.option("--url", help="Of the daemon, as in http://127.0.0.1:8080; default: as the configuration says.")
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="Holds the API key; default: the daemon's own for us."
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file (TOML).")
@click.option(
    "--timeout", "patience_s", type=click.FloatRange(1, 600), default=10.0, show_default=True,
    help="Seconds for the answer after the end of the phrase.",
)  # fmt: skip
def selftest(url: str | None, key_file: Path | None, file: Path | None, patience_s: float) -> None:
    """Speak a phrase to the running daemon and compare what it writes with what its model wrote when it was measured.

    Ends with 0 when it is right, or when the box is too busy to be tested; with 1 when the words are wrong or late;
    with 2 for bad usage, or when the daemon's key cannot be read.
    """
    from appliance import canary
    from appliance.doctor.box import address, checked, usual
    from appliance.doctor.selftest import expected, judge, play
    from appliance.scheduling import figures

    log_to_stderr("error")  # whoever is not root does not see what was measured, and need not be told
    config = configured(usual(file))
    try:
        url = checked(address(config) if url is None else url)
    except ValueError as error:
        fail(str(error), 2)
    key = _key(key_file, url, config)
    phrase = canary.load()
    answer = asyncio.run(play(url, key, phrase, patience_s))
    verdict = judge(answer, expected(answer, phrase, figures.load(config.state_dir / figures.FILE)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the words may be of any language
    click.echo(f"self-test {verdict.line}")
    sys.exit(0 if verdict.good else 1)


def _key(file: Path | None, url: str, config: Config) -> str:
    """What lets us in, or the end."""
    from appliance.doctor.box import ANY, named_key, own_key
    from appliance.parts import open_house

    try:
        return named_key(file) if file else own_key(url)
    except ValueError as error:
        fail(str(error), 2)
    except OSError as error:
        if file:
            fail(f"{file}: {error.strerror}", 2)
        if open_house(config):
            return ANY
        fail("the daemon's key cannot be read by this user: run this as root", 2)
