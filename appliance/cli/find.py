"""``appliance find``: the boxes on this network."""

from __future__ import annotations

import asyncio

import click
import msgspec

from appliance.cli.common import fail


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="How long to listen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of text.")
def find(seconds: float, as_json: bool) -> None:
    """List the appliances on this network: where they are and which languages they write.

    Ends with 1 when there is none; with --json too, after an empty array.
    """
    from appliance.server.discovery import browse

    try:
        boxes = asyncio.run(browse(seconds))
    except OSError as error:
        fail(f"cannot look around: {error.strerror or error}")
    if as_json:
        click.echo(
            msgspec.json.encode([msgspec.to_builtins(box) | {"url": box.url, "tls_url": box.tls_url} for box in boxes])
        )
    if not boxes:
        fail("no appliance answers on this network")
    for box in () if as_json else boxes:
        rows = {
            "url": box.url,
            "encrypted": box.tls_url or "no",
            "addresses": ", ".join(box.addresses),
            "languages": ", ".join(box.languages) or "-",
            "keys": {"keys": "needed", "open": "not needed"}.get(box.auth, "-"),
            "version": box.version or "-",
        }
        click.echo("\n".join([box.name, *(f"  {name:10} {value}" for name, value in rows.items())]))
