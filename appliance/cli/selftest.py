"""``appliance selftest``: does the running daemon hear?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from appliance.cli.common import configured, fail


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

    Ends with 0 when it is right, or when the box is too busy to be tested; with 1 when the words are wrong or late.
    """
    from appliance import canary
    from appliance.doctor.box import address, own_key, usual
    from appliance.doctor.selftest import expected, judge, play
    from appliance.scheduling import figures

    config = configured(usual(file))
    try:
        key = own_key(key_file)
    except OSError as error:
        fail(f"{key_file}: {error.strerror}", 2)
    url = (url or address(config)).rstrip("/")
    if not url.startswith(("http://", "https://")):
        fail(f"{url}: a URL looks like http://127.0.0.1:8080", 2)
    phrase = canary.load()
    answer = asyncio.run(play(url, key, phrase, patience_s))
    verdict = judge(answer, expected(answer, phrase, figures.load(config.state_dir / figures.FILE)))
    click.echo(f"self-test {verdict.line}")
    sys.exit(0 if verdict.good else 1)
