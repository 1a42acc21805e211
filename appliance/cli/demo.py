"""``appliance demo``: the main job with nothing attached. A daemon, speech made on the spot, the real WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import click
from websockets.exceptions import InvalidStatus, WebSocketException

from appliance.cli.access import headers, key_options, own, refused
from appliance.cli.child import NotReady, own_daemon
from appliance.cli.common import fail
from appliance.cli.speech import NoSpeech, say
from appliance.doctor.box import checked
from appliance.text.errors import plain_words, word_errors

SENTENCES = (
    "i would like a cup of coffee",
    "what time is it now",
    "we are going to the city on monday",
    "thank you very much for your help",
    "there is nothing to be afraid of",
)
PAUSE_S = 1.2
DEMO = "demo"
"""The key for the appliance that is started here: it listens on loopback and takes any."""
CHUNK_S = 0.1
WRONG = 0.2
"""Share of the words that may be wrong."""


@click.command()
@click.option("--url", help="Of a running appliance; without it one is started.")
@click.option("--model", help="Model of the appliance that is started.")
@key_options
def demo(url: str | None, model: str | None, key: str | None, key_file: Path | None) -> None:
    """Speak five sentences to an appliance in real time and check what it writes.

    Without a key the one that the daemon keeps for its self-test is used, where this user may read it. Ends with 1 when
    the words are wrong.
    """
    if url is None and (key is not None or key_file is not None):
        raise click.UsageError("--key and --key-file go with --url")
    try:
        url = checked(url) if url is not None else None
    except ValueError as error:
        fail(str(error), 2)
    given = headers(key, key_file, own(url) if url is not None else DEMO)
    try:
        audio = [say(sentence) for sentence in SENTENCES]
    except NoSpeech as error:
        fail(str(error))
    try:
        sys.exit(asyncio.run(_demonstrate(url, model, audio, given)))
    except InvalidStatus as error:
        fail(refused(error.response.status_code, bytes(error.response.body or b"")))
    except (NotReady, OSError, ValueError, WebSocketException) as error:
        fail(str(error))


async def _demonstrate(url: str | None, model: str | None, audio: list[bytes], given: dict[str, str]) -> int:
    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            daemon = await stack.enter_async_context(own_daemon(*(("--model", model) if model else ())))
            click.echo(daemon.model)
            url = daemon.url
        heard, delays = await _converse(url, audio, given)
    wanted = " ".join(SENTENCES).split()
    wrong = word_errors(wanted, plain_words(heard))
    delays.sort()
    click.echo(
        f"\n{len(wanted)} words spoken, {wrong} wrong; a final comes {delays[len(delays) // 2]:.2f} s "
        f"(at most {delays[-1]:.2f} s) after the speaker falls silent"
        if delays
        else "\nnothing was heard"
    )
    good = wrong <= WRONG * len(wanted)
    click.echo("it works" if good else "the words are wrong")
    return 0 if good else 1


async def _converse(url: str, audio: list[bytes], given: dict[str, str]) -> tuple[str, list[float]]:
    """The text heard, and for each final how long after the end of the sentence's sound it came."""
    from websockets.asyncio.client import connect

    heard: list[str] = []
    delays: list[float] = []
    ended: list[float] = []
    async with connect(f"ws{url[4:]}/v1/stream", additional_headers=given, compression=None) as socket:

        async def listen() -> None:
            shown = 0
            async for message in socket:
                event = json.loads(message)
                match event["type"]:
                    case "partial" if sys.stdout.isatty():
                        click.echo("\r  … " + event["text"].ljust(shown), nl=False)
                        shown = len(event["text"])
                    case "partial":
                        click.echo(f"  partial  {event['text']}")
                    case "final":
                        if ended:
                            delays.append(time.monotonic() - ended[-1])
                        late = f"{delays[-1]:.2f} s after the sound" if delays else ""
                        click.echo(("\r" if shown else "") + f"  final    {event['text'].ljust(shown)}   ({late})")
                        heard.append(event["text"])
                        shown = 0

        listening = asyncio.create_task(listen())
        clock = time.monotonic()
        for sentence in audio:
            quiet = bytes(int(32_000 * PAUSE_S))
            for piece, last in ((sentence, True), (quiet, False)):
                for start in range(0, len(piece), int(32_000 * CHUNK_S)):
                    part = piece[start : start + int(32_000 * CHUNK_S)]
                    clock += len(part) / 32_000
                    await asyncio.sleep(clock - time.monotonic())
                    await socket.send(part)
                if last:
                    ended.append(time.monotonic())
        await socket.send('{"type": "finish"}')
        await listening
    return " ".join(heard), delays
