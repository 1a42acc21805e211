"""``appliance listen``: a microphone's words, live in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from appliance.capture.microphone import Guard
from appliance.cli.common import configured, fail, log_to_stderr, recognizer_options


@click.command()
@click.option("--device", default="default", show_default=True, help="ALSA name of the microphone, or a part of it.")
@click.option("--rate", type=int, default=16_000, show_default=True, help="Asked of the card, Hz.")
@click.option("--url", help="Follow the microphone of a running appliance instead, as in http://box.local:8080.")
@click.option("--name", default="default", show_default=True, help="With --url: which of its microphones.")
@click.option("--key", default="listen", help="With --url: an API key that may listen (--microphones).")
@recognizer_options
def listen(
    device: str, rate: int, url: str | None, name: str, key: str,
    file: Path | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Write down what the microphone hears until Ctrl-C."""
    config = configured(file, engine=engine, model=model, language=language)
    log_to_stderr("warning")
    with contextlib.suppress(KeyboardInterrupt):
        if url is not None:
            asyncio.run(_follow(url, name, key))
            return
        from appliance.doctor.door import Shut, opened

        try:
            with opened(config) as guard:
                asyncio.run(_open(config, device, rate, guard))
        except Shut as shut:
            fail(f"{shut}; {shut.advice}")


async def _follow(url: str, name: str, key: str) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    paper = Paper()
    try:
        async with connect(f"ws{url.removeprefix('http')}/v1/microphones/{name}?key={key}") as socket:
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "microphone":
                    paper.note(f"{event['name']}: {event['state']} ({event['reason']})")
                paper.write(event["type"], event.get("text", ""))
    except InvalidStatus as error:
        fail(error.response.body.decode(errors="replace") if error.response.body else str(error))
    except (OSError, ValueError, WebSocketException) as error:
        fail(f"{url}: {error}; a URL looks like http://box.local:8080")


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


class Paper:
    """Finals as lines on standard output; on a terminal the partial is rewritten in place before its final."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = 0

    def write(self, kind: str, text: str) -> None:
        if kind == "partial" and self._live:
            click.echo("\r" + text.ljust(self._shown), nl=False)
            self._shown = len(text)
        elif kind == "final":
            click.echo(("\r" if self._shown else "") + text.ljust(self._shown))
            self._shown = 0

    def note(self, text: str) -> None:
        click.echo(f"[{text}]", err=True)
