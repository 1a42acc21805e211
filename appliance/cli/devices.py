"""``appliance devices``: the microphones of this machine."""

from __future__ import annotations

import click
import msgspec

from appliance.capture.devices import CaptureError, Device, list_devices


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
def devices(as_json: bool) -> None:
    """List the microphones: name, native rate, channels. A star marks the default one."""
    try:
        found = list_devices()
    except CaptureError as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif found:
        width = max(len(device.name) for device in found)
        for device in found:
            click.echo(_line(device, width))
    if not found:
        raise click.ClickException("no microphone found")


def _line(device: Device, width: int) -> str:
    """One row; what a held card runs at may be unknown."""
    rate = f"{device.rate} Hz" if device.rate else "-"
    channels = f"{device.channels} ch" if device.channels else "-"
    star = "*" if device.default else " "
    return f"{star} {device.name:{width}}  {rate:>9}  {channels:>5}{'  in use' * device.busy}"
