"""``appliance bench``: what this machine can do, and what the service costs beside its engine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec

from appliance.cli.common import fail


@click.command()
@click.argument("measures", nargs=-1)
@click.option(
    "--speech",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with a manifest.jsonl; without one ../shared/speech, else speech made on the spot.",
)
@click.option("--seconds", default=30.0, show_default=True, help="Audio in each measurement.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with more Whisper packs, whose accuracy is measured too.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def bench(
    measures: tuple[str, ...], speech: Path | None, seconds: float, models_dir: Path | None, as_json: bool
) -> None:
    """Measure this machine: all of it, or only some of the MEASURES.

    Ends with 1 when an aim is missed, or when a measure that was asked for by name lacks what it needs.
    """
    from appliance.bench.measures import MEASURES
    from appliance.bench.plan import NotMeasured, Plan, Row
    from appliance.cli.child import NotReady
    from appliance.cli.speech import NoSpeech

    unknown = set(measures) - set(MEASURES)
    if unknown:
        fail(f"there is no measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}", 2)
    if speech is None:
        beside = Path(os.environ.get("APPLIANCE_MATERIAL", "../shared")) / "speech"
        speech = beside if beside.is_dir() else None
    if not as_json:
        click.echo(
            f"{os.cpu_count()} cores; speech: {'recordings' if speech else 'made on the spot'}; {seconds:.0f} s each"
        )
    missed, lacking = False, list[str]()

    def tell(row: Row) -> None:
        nonlocal missed
        missed = missed or row.good is False
        if as_json:
            click.echo(msgspec.json.encode(row).decode())
        else:
            verdict = {True: "met", False: "MISSED", None: ""}[row.good]
            click.echo(f"  {row.what:<88} {row.value:9.3f} {row.unit:<17} {row.aim:<9} {verdict}")

    async def work() -> None:
        for name in measures or MEASURES:
            if not as_json:
                click.echo(name)
            try:
                await MEASURES[name](Plan(speech, seconds, models_dir), tell)
            except NotMeasured as why:
                lacking.append(name)
                click.echo(f"{name}: not measured: {why}" if as_json else f"  not measured: {why}", err=as_json)

    try:
        asyncio.run(work())
    except (NotReady, NoSpeech) as error:
        fail(str(error))
    sys.exit(1 if missed or (measures and lacking) else 0)
