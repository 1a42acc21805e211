"""The page for a screen, in a real browser: what is said in the room can be read there, and why not, if not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.accounts.keys import Keys
from appliance.daemon import Daemon
from tests.box import box, fake, run, url, whisper
from tests.clients.client import KEYS, key
from tests.clients.devtools import Tab, tab
from tests.clients.material import FIRST, SECOND, recorded, understood
from tests.virtual_mic import VirtualMicrophone, virtual_microphone

DESK = {"name": "desk", "device": "vmic"}
NOWHERE = {"name": "hall", "device": "no such card"}
TITLE = "document.querySelector('#title')?.textContent"
DETAIL = "document.querySelector('#detail')?.textContent"
WORDS = "[...document.querySelectorAll('#words p')].map((line) => line.textContent)"
OPEN = "document.querySelector('#words i')?.textContent"
SHOWN = "[...document.querySelectorAll('#words, #notice')].filter((part) => part.checkVisibility()).map(({ id }) => id)"


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("microphone")) as made:
        yield made


async def until(page: Tab, title: str, shown: str = "notice") -> str:
    """Wait for the page to say so where it can be seen; what it says beside."""
    await page.until(f"{TITLE} === {json.dumps(title)} && {SHOWN}.join() === {json.dumps(shown)}")
    return str(await page.evaluate(DETAIL))


def test_what_is_said_is_read(microphone: VirtualMicrophone, tmp_path: Path, monkeypatch: Any) -> None:
    """From the room's air to the screen; muted and pulled out in between."""
    monkeypatch.setenv("ALSA_CONFIG_PATH", microphone.env["ALSA_CONFIG_PATH"])
    speech = recorded(tmp_path, FIRST, SECOND, after_s=1.5)

    async def work() -> None:
        async with (
            box(whisper(), microphones=[DESK], server=KEYS) as daemon,
            tab(f"{url(daemon)}/kiosk#key={key(daemon, microphones=True)}") as page,
        ):
            await until(page, "Listening")
            playing = asyncio.create_task(asyncio.to_thread(microphone.play, speech.path))
            await page.until(f"{OPEN} && {SHOWN}.join() === 'words'")  # in grey, while he speaks
            await playing
            await page.until(f"{WORDS}.length === 2 && !{OPEN}")
            understood(await page.evaluate(WORDS), FIRST, SECOND)
            daemon._controls.toggle_mute()
            await until(page, "Muted")
            daemon._controls.toggle_mute()
            await until(page, "Listening", "words")
            await asyncio.to_thread(microphone.unplug)
            await page.until(f"['No microphone', 'Microphone lost'].includes({TITLE}) && {SHOWN}[0] === 'notice'")
            await asyncio.to_thread(microphone.replug)
            await until(page, "Listening", "words")

    run(work)


def test_the_box_goes_and_comes_back() -> None:
    """A box that stopped and one that never answers; the words that were there can be read meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def started(**server: Any) -> Any:
        return box(fake(), microphones=[NOWHERE], server={"port": port, **server})

    async def work() -> None:
        async with started() as daemon:
            opened = tab(f"{url(daemon)}/kiosk")
            page = await opened.__aenter__()
            assert "no such card" in await until(page, "No microphone")
        try:
            await until(page, "Reconnecting")
            async with started():
                await until(page, "No microphone")
        finally:
            await opened.__aexit__(None, None, None)

    run(work)


@pytest.mark.parametrize(
    ("microphones", "address", "title", "detail"),
    [
        ([NOWHERE], "", "A key is needed", "#key="),
        ([NOWHERE], "#key=not-a-key-of-this-box", "Not let in", "not known"),
        ([NOWHERE], "#key={key}&microphone=attic", "No microphone “attic”", "hall"),
        ([], "#key={key}", "No microphone", "configuration"),
    ],
)
def test_why_nothing_is_shown(microphones: list[Any], address: str, title: str, detail: str) -> None:
    async def work() -> None:
        async with (
            box(fake(), microphones=microphones, server=KEYS) as daemon,
            tab(f"{url(daemon)}/kiosk{address.format(key=key(daemon, microphones=True))}") as page,
        ):
            assert detail in await until(page, title)

    run(work)


def test_a_box_that_has_lost_its_power_is_noticed() -> None:
    """It says no goodbye, and its connections stay open."""

    async def work() -> None:
        async with (
            box(fake(), microphones=[NOWHERE]) as daemon,
            cable(daemon) as (address, pull),
            hurried(f"{address}/kiosk") as page,
        ):
            await until(page, "No microphone")
            pull()
            await until(page, "Reconnecting")

    run(work)


def test_a_key_that_is_revoked_shows_no_more() -> None:
    async def work() -> None:
        async with box(fake(), microphones=[NOWHERE], server=KEYS) as daemon:
            keys = Keys(daemon.config.state_dir / "accounts")
            async with hurried(f"{url(daemon)}/kiosk#key={key(daemon, microphones=True)}") as page:
                await until(page, "No microphone")
                keys.refresh()
                keys.revoke(keys.all()[0].id)
                await until(page, "Not let in")

    run(work)


def test_words_leave_when_it_has_been_quiet() -> None:
    async def work() -> None:
        async with box(fake(), microphones=[NOWHERE]) as daemon, tab(f"{url(daemon)}/kiosk#keep=0.2") as page:
            await until(page, "No microphone")
            await page.evaluate("HEARD.microphone({ name: 'hall', state: 'ready', reason: '', language: 'en' })")
            await page.evaluate("HEARD.final({ text: 'good morning' })")
            await until(page, "Listening", "notice")
            assert await page.evaluate(WORDS) == []

    run(work)


@contextlib.asynccontextmanager
async def hurried(address: str) -> AsyncIterator[Tab]:
    """The page with timers that run five hundred times as fast."""
    async with tab("about:blank") as page:
        hurry = "const timer = setTimeout; setTimeout = (work, ms) => timer(work, ms / 500)"
        await page.call("Page.enable")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=f"{{ {hurry} }}")
        await page.call("Page.navigate", url=address)
        yield page


@contextlib.asynccontextmanager
async def cable(daemon: Daemon) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """An address for the box, and what pulls its plug: from then on nothing is passed on, and nothing closed."""
    assert daemon.bound is not None
    pulled = False
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if pulled:
                    await asyncio.Event().wait()
                writer.write(data)
        finally:
            writer.close()

    async def plugged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*daemon.bound)
        tasks.update(asyncio.create_task(carry(*pair)) for pair in ((reader, back), (there, writer)))

    def pull() -> None:
        nonlocal pulled
        pulled = True

    server = await asyncio.start_server(plugged, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", pull
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
