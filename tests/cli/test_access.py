"""``appliance listen --url`` and ``demo --url`` against a real daemon: names, keys, and messages without a key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.accounts.keys import Keys
from appliance.core.events import Cause, Final
from appliance.daemon import Daemon
from tests.box import box, fake, run, url

KEYED: dict[str, Any] = {"server": {"auth": "keys"}}
DESK = {"name": "desk", "device": "no such card"}
DOOR = {"name": "door", "device": "no such card"}
FINAL = Final(0, "hello", (), 1.0, "en", 0, 16_000, Cause.SILENCE)


def new_key(daemon: Daemon, **rights: Any) -> str:
    return Keys(daemon.config.state_dir / "accounts").create("test", now=1.7e9, **rights)[1]


async def command(*words: str) -> tuple[int, str]:
    """The exit code of an appliance command, and all that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def listen(daemon: Daemon, *options: str) -> tuple[int, str]:
    """``appliance listen --url`` until the feed says a word and ends."""
    work = asyncio.create_task(command("listen", "--url", url(daemon), *options))
    while not work.done():
        for feed in daemon._microphones.feeds.values():
            if feed._subscribers:
                feed.publish(FINAL)
                await asyncio.sleep(0.5)
                feed.close()
        await asyncio.sleep(0.05)
    return work.result()


def test_listen_without_name_takes_the_only_microphone() -> None:
    async def work() -> None:
        async with box(fake(), microphones=[DESK]) as daemon:
            assert "desk: absent" in (await listen(daemon))[1]

    run(work, 90)


@pytest.mark.parametrize(
    ("microphones", "options", "code", "said"),
    [
        ([], (), 1, "has no microphone"),
        ([DESK, DOOR], (), 2, "choose one with --name: desk, door"),
        ([DESK], ("--name", "a b?key=x&y#z"), 1, "there is no such microphone; there are: desk"),
    ],
)
def test_listen_which_microphone_is_said(
    microphones: list[dict[str, str]], options: tuple[str, ...], code: int, said: str
) -> None:
    async def work() -> None:
        async with box(fake(), microphones=microphones) as daemon:
            found, output = await listen(daemon, *options)
            assert (found, said in output) == (code, True), output

    run(work, 90)


def test_listen_and_demo_use_the_key_and_never_print_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), microphones=[DESK], **KEYED) as daemon:
            good, deaf = new_key(daemon, microphones=True), new_key(daemon)
            (tmp_path / "key").write_text(good + "\n")
            for options in (("--key", good), ("--key-file", str(tmp_path / "key"))):
                assert "hello" in (await listen(daemon, *options))[1]
            for options, said in (
                ((), "An API key is required; give a key"),
                (("--key", "secret&x=#1"), "is not known here; give a key"),
                (("--key", deaf), "may not listen to microphones"),
                (("--key", "sec ret"), "characters that no key has"),
                (("--key", deaf, "--key-file", str(tmp_path / "key")), "exclude each other"),
                (("--key-file", str(tmp_path / "none")), "No such file"),
            ):
                code, output = await listen(daemon, *options)
                assert code, output
                assert said in output
                assert not any(key in output for key in (good, deaf, "secret&x", "sec ret"))
            code, output = await command("demo", "--url", url(daemon), "--key", "secret&x=#1")
            assert (code, "is not known here; give a key" in output, "secret" in output) == (1, True, False), output

    run(work, 120)


@pytest.mark.parametrize("name", ["listen", "demo"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--key", "secret"), "--url"),
        (("--url", "box.local", "--key", "secret"), "a URL looks like"),
        (("--url", "http://127.0.0.1:9", "--key", "secret"), "127.0.0.1"),
    ],
)
def test_command_bad_usage_no_key_in_the_error(name: str, options: tuple[str, ...], said: str) -> None:
    async def work() -> None:
        code, output = await command(name, *options)
        assert code
        assert said in output
        assert "secret" not in output

    run(work)
