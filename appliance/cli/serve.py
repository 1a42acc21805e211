"""``appliance serve``: the daemon in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from appliance.cli.common import configured, fail, log_to_stderr, recognizer_options


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--auth", help="'open' takes any key; needed to leave loopback.")
@recognizer_options
def serve(
    file: Path | None, host: str | None, port: int | None, auth: str | None,
    engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Serve the streaming APIs and listen to the microphones until told to stop."""
    config = configured(file, host=host, port=port, auth=auth, engine=engine, model=model, language=language)
    log_to_stderr(config.log.level)

    from appliance.config import ConfigError
    from appliance.daemon import Daemon
    from appliance.engines.registry import EngineError
    from appliance.packs.disk import PackError

    try:
        daemon = Daemon(config)
        chosen = daemon.selection.models[0]
        click.echo(f"model: {chosen.name} ({chosen.engine}, {chosen.language}), because {daemon.selection.why}")
        asyncio.run(daemon.run(_announce))
    except (ConfigError, EngineError, PackError) as error:
        fail(str(error))


def _announce(daemon: object) -> None:
    from appliance.daemon import Daemon

    assert isinstance(daemon, Daemon)
    assert daemon.bound is not None
    host, port = daemon.bound
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(
        f"ready on {url}\n"
        f"  health            curl {url}/readyz\n"
        f"  microphones       curl {url}/v1/microphones   (live: ws{url[4:]}/v1/microphones/default)\n"
        f'  Gnani Vachana     GnaniSTTStreamClient(base_url="{url}", api_key="any")\n'
        f"  try it            appliance demo --url {url}\n"
        f"stop with Ctrl-C"
    )
