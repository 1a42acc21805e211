"""``appliance devices``: the microphones of this machine."""

from __future__ import annotations

import click
import msgspec

from appliance.capture.devices import CaptureError, Device, list_devices


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
def devices(as_json: bool) -> None:
    """List the microphones: name, native rate, channels, ALSA's name of a real card. A star marks the default one.

    Either name can be the ``device`` of a microphone in the configuration; both survive a change of the card's number.
    Ends with 1 when there is no microphone; with --json too, after an empty array.
    """
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
    row = f"{star} {device.name:{width}}  {rate:>9}  {channels:>5}  {device.alsa}{'  in use' * device.busy}"
    return row.rstrip()
