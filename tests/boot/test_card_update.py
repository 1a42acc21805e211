"""An update from a USB stick, plugged into the very image on an emulated board: nobody types anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.card import PORT, Card, Running, newer, ssh_key, stick
from tests.boot.clients import all_said, understood
from tests.boot.test_card import QUICK, built
from tests.box import run

pytestmark = pytest.mark.boot

SECRET = "a-key-for-the-update"
SETTINGS = "key = test {secret}\nmicrophone = none\nmodel = kiosk-words\nssh-key = {key}\n"
STATUS = "appliance update --status --json"
UPDATE_S = 900


class Home:
    """A card, and the board that it is put into anew for each test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = ssh_key(folder)
        self.card = Card(built(), folder)
        self.card.write("appliance.txt", SETTINGS.format(secret=SECRET, key=self.owner.public))
        self.card.write("appliance.toml", QUICK)
        self.bundle = newer(folder / "own")

    def power(self, name: str, plugged: Path | None = None) -> Running:
        running = Running(self.card, "virt", self.folder / name, self.owner, plugged)
        running.wait_up()
        running.wait_ready()
        return running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("stick"))
    yield home
    home.card.path.unlink()


def heard(running: Running) -> str:
    said: list[str] = []

    async def speak() -> None:
        said.append(await all_said(f"ws://127.0.0.1:{running.ports[PORT]}", SECRET))

    run(speak, 240)
    return said[0]


def test_a_stick_of_somebody_else_changes_nothing(home: Home) -> None:
    key = home.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    foreign = newer(home.folder / "foreign", "--key", str(key))
    running = home.power("foreign-boot", stick(home.folder / "foreign", foreign))
    try:
        told = json.loads(running.until(STATUS, "refused", UPDATE_S))
        assert told["current"] is None
        assert understood(heard(running))
    finally:
        running.pull_the_plug()


def test_a_stick_of_its_owner_updates_it_and_that_lasts(home: Home) -> None:
    running = home.power("own-boot", stick(home.folder / "own", home.bundle))
    try:
        told = json.loads(running.until(STATUS, '"outcome":"kept"', UPDATE_S))
        assert told["current"]
        assert told["running"]["built"] > told["shipped"]["built"]
        assert understood(heard(running))
        print(running.run("journalctl -b -o cat -u 'appliance-stick@*' -u appliance-trial | tail -20"))
    finally:
        running.pull_the_plug()
    again = home.power("after")
    try:
        after = json.loads(again.run(STATUS))
        assert (after["current"], after["running"]) == (told["current"], told["running"])
        assert understood(heard(again))
    finally:
        again.pull_the_plug()
