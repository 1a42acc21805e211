"""``appliance listen``: a microphone's words, live in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import click

from appliance.capture.microphone import Guard
from appliance.cli.access import headers, key_options
from appliance.cli.common import configured, fail, log_to_stderr, recognizer_options
from appliance.cli.paper import Paper


@click.command()
@click.option("--device", default="default", show_default=True, help="A name of appliance devices, or a part of it.")
@click.option("--rate", type=int, default=16_000, show_default=True, help="Asked of the card, Hz.")
@click.option("--url", help="Follow the microphone of a running appliance instead, as in http://box.local:8080.")
@click.option("--name", help="With --url: which of its microphones; default: the only one.")
@key_options
@recognizer_options
def listen(
    device: str, rate: int, url: str | None, name: str | None, key: str | None, key_file: Path | None,
    file: Path | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Write down what the microphone hears until Ctrl-C.

    With --url, what a microphone of a running appliance hears. Where keys are needed, the key must be one that may
    listen to microphones: appliance keys create NAME --microphones.
    """
    if url is None and (name is not None or key is not None or key_file is not None):
        raise click.UsageError("--name, --key and --key-file go with --url")
    config = configured(file, engine=engine, model=model, language=language)
    log_to_stderr("warning")
    with contextlib.suppress(KeyboardInterrupt):
        if url is not None:
            _follow(url, name, headers(key, key_file))
            return
        from appliance.doctor.door import Shut, opened

        try:
            with opened(config) as guard:
                asyncio.run(_open(config, device, rate, guard))
        except Shut as shut:
            fail(f"{shut}; {shut.advice}")


def _follow(url: str, name: str | None, given: dict[str, str]) -> None:
    from appliance.cli.follow import follow, only
    from appliance.doctor.box import checked

    try:
        url = checked(url)
    except ValueError as error:
        fail(str(error), 2)
    asyncio.run(follow(url, only(url, given) if name is None else name, given))


async def _open(config: Any, device: str, rate: int, guard: Guard) -> None:
    from appliance.capture.listener import Listener
    from appliance.core.options import SessionOptions
    from appliance.dialects.native import encoded
    from appliance.engines.registry import EngineError
    from appliance.packs.disk import PackError
    from appliance.packs.selection import select
    from appliance.packs.store import Store
    from appliance.scheduling.messages import Plan
    from appliance.scheduling.pool import Pool

    wanted = config.recognizer
    try:
        selection = select(Store(config.models_dir), wanted.engine, wanted.model, wanted.language)
    except (EngineError, PackError) as error:
        fail(str(error))
    pool = Pool(Plan(models=selection.models[:1], detector=wanted.detector), config.scheduling)
    await pool.start()
    if not pool.models:
        await pool.close()
        fail("; ".join(pool.broken.values()))
    paper = Paper()
    listener = Listener(
        pool,
        "listen",
        SessionOptions(endpointing=config.endpointing),
        device=device,
        rate=rate,
        on_event=lambda event: paper.write((told := json.loads(encoded(event)))["type"], told.get("text", "")),
        on_change=lambda: paper.note(f"{listener.microphone.state} ({listener.microphone.reason})"),
        guard=guard,
    )
    try:
        await listener.run()
    finally:
        await listener.close()
        await pool.drain(2.0)
        await pool.close()
