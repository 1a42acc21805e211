"""The plug is pulled while the box writes: it comes back each time, with the old state or the new one.

The very image, on the faster of the emulated boards. What QEMU has been given to write stays when it dies; what the
guest still had in its memory is lost. ``POWER_CUTS`` and ``POWER_SEED`` change how many of each deed and which moments.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.packs.store import embedded
from tests.boot.card import PORT, Card, Key, Running, newer, ssh_key
from tests.boot.clients import all_said, understood
from tests.boot.test_card import QUICK, built
from tests.box import run

pytestmark = pytest.mark.boot

CUTS = int(os.environ.get("POWER_CUTS", "5"))
SEED = int(os.environ.get("POWER_SEED", "5"))
SECRET = "a-key-for-the-power-cuts"
SETTINGS = "key = test {secret}\nmicrophone = none\nmodel = kiosk-words\nssh-key = {key}\n"
MODEL = "vosk-model-small-xx-0.1"


class Household:
    """A box, what was written to it, and what it has said is written."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.owner: Key = ssh_key(folder)
        self.keys: list[str] = []
        self.boots = itertools.count()
        self.update = newer(folder)
        self.model = folder / f"{MODEL}.zip"
        self.fresh()

    def fresh(self) -> None:
        """A card as it comes from the shop, with its owner's settings."""
        self.card = Card(self.image, self.folder)
        self.card.write("appliance.txt", SETTINGS.format(secret=SECRET, key=self.owner.public))
        self.card.write("appliance.toml", QUICK)
        self.keys = []

    @contextlib.contextmanager
    def power(self) -> Iterator[Running]:
        running = Running(self.card, "virt", self.folder / f"boot-{next(self.boots)}", self.owner)
        try:
            yield running
        finally:
            running.pull_the_plug()

    def prove(self, running: Running) -> None:
        """It is well, and has all that it had said it has."""
        running.wait_up()
        status = running.wait_ready()
        assert status.startswith("ready"), status
        assert running.run("systemctl --failed --no-legend --plain") == ""
        listed = running.run("appliance keys list --json")
        assert not [key for key in self.keys if f'"{key}"' not in listed], "a key that had been told is gone"
        running.run("appliance models verify")
        told = json.loads(running.run("appliance update --status --json"))
        print(f"{running.consoles[0].parent.name}: runs {told['running']['version']}; keys {len(self.keys)}")

        async def speak() -> None:
            assert understood(await all_said(f"ws://127.0.0.1:{running.ports[PORT]}", SECRET))

        run(speak, 240)


def make_keys(house: Household, running: Running) -> None:
    """One after the other; those whose making was told must last."""
    name = f"cut-{len(house.keys)}-$i"
    command = f"i=0; while :; do i=$((i+1)); appliance keys create {name} >/dev/null && echo {name}; done"
    with running.start(command) as making:
        assert making.stdout is not None
        for line in making.stdout:
            if line.startswith(b"cut-"):
                house.keys.append(line.decode().strip())


def install_model(house: Household, running: Running) -> None:
    """Over and over: each replaces the one before."""
    running.put(house.model.read_bytes(), f"/tmp/{MODEL}.zip")
    running.start(f"while appliance models install /tmp/{MODEL}.zip --language xx; do :; done").communicate()


def take_update(house: Household, running: Running) -> None:
    """To the newer program, and back to what was shipped, and again."""
    running.put(house.update.read_bytes(), "/run/newer.appliance-update")
    running.start("while appliance update --again /run/newer.appliance-update; do sleep 1; done").communicate()


FIRST = "the first boot"
DEEDS = {"keys": (make_keys, 2, 25), "a model": (install_model, 4, 40), "an update": (take_update, 5, 240)}
"""What is written, and between how many seconds after its beginning the power goes."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    image = built()
    house = Household(image, tmp_path_factory.mktemp("cuts"))
    with zipfile.ZipFile(house.model, "w") as archive:
        kiosk = embedded()["kiosk-words"]
        for file in kiosk.rglob("*"):
            archive.write(file, Path(MODEL) / file.relative_to(kiosk))
    yield house
    house.card.path.unlink()


@pytest.mark.parametrize("what", [FIRST, *DEEDS])
def test_it_comes_back_each_time(house: Household, what: str) -> None:
    """A card of its own for each deed, that keeps what the cuts before have left; a new one for each first boot."""
    chance = random.Random(f"{SEED} {what}")
    for number in range(CUTS):
        if what == FIRST or number == 0:
            house.fresh()
        if what == FIRST:
            after = chance.uniform(15, 60)
            with house.power():
                time.sleep(after)
        else:
            deed, earliest, latest = DEEDS[what]
            after = chance.uniform(earliest, latest)
            with house.power() as running:
                house.prove(running)
                doing = threading.Thread(target=deed, args=(house, running), daemon=True)
                doing.start()
                doing.join(after)
                assert doing.is_alive(), f"{what} ended by itself, which is not what was to be cut"
            doing.join(60)
        print(f"cut {number + 1} of {CUTS}: {what}, after {after:.1f} s")
        if what == FIRST or number == CUTS - 1:
            with house.power() as running:
                house.prove(running)
