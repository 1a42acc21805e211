"""``appliance serve``: the daemon in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli.banner import Ready, banner
from appliance.cli.common import configured, fail, log_to_stderr, overrides, recognizer_options

if TYPE_CHECKING:
    from appliance.daemon import Daemon
    from appliance.packs.selection import Selection

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. The TLS port moves by as much.")
@click.option("--tls-port", type=int, help="Port with https and wss; 0 takes a free one.")
@click.option("--auth", help="'keys': those of appliance keys; 'open': any; 'auto': open on loopback, else keys.")
@click.option("--tls/--no-tls", default=None, help="The second listener, with https and wss.")
@click.option("--calibrate/--no-calibrate", default=None, help="At first start, measure what a stream costs here.")
@click.option("--state-dir", help="Where keys, usage and certificates are kept.")
@recognizer_options
def serve(
    file: Path | None, host: str | None, port: int | None, tls_port: int | None, auth: str | None, tls: bool | None,
    calibrate: bool | None, state_dir: str | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Serve the streaming APIs and listen to the microphones until told to stop.

    SIGHUP reads the configuration again; SIGUSR1 makes microphones look for their cards now. It ends with 2 when the
    configuration asks for what cannot be had, and with 1 when it fails itself.
    """
    if port is not None and tls_port is None:
        tls_port = _moved(file, port)
    given = {
        "host": host, "port": port, "tls_port": tls_port, "auth": auth, "tls": tls, "calibrate": calibrate,
        "state_dir": state_dir, "engine": engine, "model": model, "language": language,
    }  # fmt: skip
    for number in (signal.SIGHUP, signal.SIGUSR1):  # they would end a daemon that is not yet far enough to obey
        signal.signal(number, signal.SIG_IGN)
    config = configured(file, **given)
    log_to_stderr(config.log.level)

    from appliance.config import ConfigError, load
    from appliance.daemon import Daemon
    from appliance.engines.registry import EngineError
    from appliance.memory import give_back
    from appliance.packs.disk import PackError
    from appliance.system.protection import refuse_generated_code

    give_back()
    # Only this process speaks to the network. A recogniser in a worker may have to generate code.
    if not refuse_generated_code(inherited=False):
        log.info("this kernel does not keep the daemon from executing generated code; Linux 6.6 and newer do")
    try:
        daemon = Daemon(config, again=lambda: load(file, overrides(given)))
        _name_model(daemon.selection)
        asyncio.run(daemon.run(lambda daemon: _announce(daemon, _places(file, state_dir))))
        if daemon.failed:
            fail(daemon.failed)
    except ConfigError as error:
        fail(str(error), 2)
    except (EngineError, PackError) as error:
        fail(str(error))


def _places(file: Path | None, state_dir: str | None) -> tuple[str, ...]:
    """The options that say where keys are kept, for other commands."""
    named = {"--config": file, "--state-dir": state_dir}
    return tuple(word for option, value in named.items() if value is not None for word in (option, str(value)))


def _moved(file: Path | None, port: int) -> int:
    """The TLS port beside another plain port: as far from it as in the configuration; 0, a free one, where none is.

    So ``--port`` alone is enough for a second daemon.
    """
    config = configured(file)
    wanted = config.tls.port + port - config.server.port
    return wanted if port and config.tls.port and 0 < wanted < 1 << 16 else 0


def _name_model(selection: Selection) -> None:
    """Tell which model is loaded, what to expect of it, why it was chosen, and what would be better."""
    for chosen in selection.models[:1]:
        click.echo(f"model: {chosen.name} ({chosen.engine}, {chosen.language}), because {selection.why}")
        click.echo(f"  expect            {selection.accuracy}")
        if selection.better:
            click.echo(f"  better            {selection.better_words}")


def _announce(daemon: Daemon, options: Sequence[str]) -> None:
    """Print the banner. ``options``: those of ours that say where the keys are."""
    from appliance.config import DEFAULT_MICROPHONES

    assert daemon.bound is not None
    ready = Ready(
        url=_url("http", *daemon.bound),
        secure=_url("https", *daemon.bound_tls) if daemon.bound_tls else "",
        microphones=[microphone.name for microphone in daemon.config.microphones],
        implied=daemon.config.microphones == DEFAULT_MICROPHONES,
        keys=not daemon.open_house,
        microphone_keys=not daemon.loopback or daemon.config.server.auth == "keys",
        options=options,
    )
    click.echo(banner(ready))


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
