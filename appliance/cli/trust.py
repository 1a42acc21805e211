"""``appliance trust``: whom devices have to trust for encrypted connections, and how to tell them."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.common import configured, fail


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file (TOML).")
@click.option("--pem", is_flag=True, help="Only the authority's certificate, in PEM.")
def trust(file: Path | None, pem: bool) -> None:
    """Show the fingerprint of this box's certificate authority and how each platform is told to trust it.

    The authority is made when there is none yet.
    """
    config = configured(file)
    if not config.tls.enabled:
        fail("tls.enabled is false: connections are not encrypted, and there is nothing to trust")
    if config.tls.certificate:
        fail(f"tls.certificate is {config.tls.certificate}: the box has no authority of its own")

    from appliance.server.authority import Authority
    from appliance.server.certificates import CertificateError
    from appliance.server.platforms import PLATFORMS
    from appliance.server.trust import label

    authority = Authority(config.state_dir / "tls")
    try:
        ca = authority.open()
    except CertificateError as error:
        fail(str(error))
    if pem:
        click.echo(ca.pem, nl=False)
        return
    click.echo(f"the authority's certificate: {authority.certificate}\nits fingerprint (SHA-256):\n{ca.fingerprint}")
    click.echo(f"\nTake the file to the device, as ca.pem, or open http://THIS-BOX:{config.server.port}/trust there,")
    click.echo("and go on only if the device shows the fingerprint above.")
    for platform in PLATFORMS:
        text = click.wrap_text(platform.text, 100, "  ", "  ")
        lines = platform.lines(label(ca), f"https://THIS-BOX:{config.tls.port}")
        click.echo("\n".join([f"\n{platform.title}", text, *(f"    {line}" for line in lines)]))
