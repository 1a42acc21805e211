"""``appliance serve``: the daemon in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli.common import configured, fail, log_to_stderr, overrides, recognizer_options

if TYPE_CHECKING:
    from appliance.packs.selection import Selection

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--auth", help="'keys': those of appliance keys; 'open': any; 'auto': open on loopback, else keys.")
@click.option("--tls/--no-tls", default=None, help="The second listener, with https and wss.")
@click.option("--calibrate/--no-calibrate", default=None, help="At first start, measure what a stream costs here.")
@click.option("--state-dir", help="Where keys, usage and certificates are kept.")
@recognizer_options
def serve(
    file: Path | None, host: str | None, port: int | None, auth: str | None, tls: bool | None,
    calibrate: bool | None, state_dir: str | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Serve the streaming APIs and listen to the microphones until told to stop.

    SIGHUP reads the configuration again; SIGUSR1 makes microphones look for their cards now. It ends with 2 when the
    configuration asks for what cannot be had, and with 1 when it fails itself.
    """
    given = {
        "host": host, "port": port, "auth": auth, "tls": tls, "calibrate": calibrate, "state_dir": state_dir,
        "engine": engine, "model": model, "language": language,
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
        asyncio.run(daemon.run(_announce))
        if daemon.failed:
            fail(daemon.failed)
    except ConfigError as error:
        fail(str(error), 2)
    except (EngineError, PackError) as error:
        fail(str(error))


def _name_model(selection: Selection) -> None:
    """Tell which model is loaded, what to expect of it, why it was chosen, and what would be better."""
    for chosen in selection.models[:1]:
        click.echo(f"model: {chosen.name} ({chosen.engine}, {chosen.language}), because {selection.why}")
        click.echo(f"  expect            {selection.accuracy}")
        if selection.better:
            click.echo(f"  better            {selection.better_words}")


def _announce(daemon: object) -> None:
    from appliance.daemon import Daemon

    assert isinstance(daemon, Daemon)
    assert daemon.bound is not None
    url = _url("http", *daemon.bound)
    secure = f" and {_url('https', *daemon.bound_tls)}" if daemon.bound_tls else ""
    click.echo(
        f"ready on {url}{secure}\n"
        f"  health            curl {url}/readyz\n"
        f"  microphones       curl {url}/v1/microphones   (live: ws{url[4:]}/v1/microphones/default)\n"
        f'  ElevenLabs        ElevenLabs(base_url="{url}", api_key=...)\n'
        f'  Cartesia          Cartesia(base_url="{url}", api_key=...)\n'
        f'  AssemblyAI v3     StreamingClientOptions(api_host="ws{url[4:]}", api_key=...)\n'
        f'  Gnani Vachana     GnaniSTTStreamClient(base_url="{url}", api_key=...)\n'
        f"  and others        docs/dialects\n"
        f"  the key           {'any' if daemon.open_house else 'appliance keys create NAME'}\n"
        f"  try it            appliance demo --url {url}\n"
        f"stop with Ctrl-C"
    )


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
