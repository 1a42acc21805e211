"""``appliance setup``: reads the card, puts everything into place, and tells what could not be used.

A part that fails does not keep the others from being done: a box that is on the network can be looked after.
"""

from __future__ import annotations

import subprocess
import time
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from appliance.accounts.disk import make_private
from appliance.accounts.keys import Keys, KeysError
from appliance.setup import console, keys, settings, ssh
from appliance.setup.card import SETTINGS, Card, Run
from appliance.setup.configuration import OWN, compose
from appliance.setup.files import File, below, put
from appliance.setup.plan import Box, Plan, plan
from appliance.setup.problem import Problem
from appliance.setup.settings import Settings
from appliance.setup.text import decode

STATE = "/var/lib/private/appliance"
"""Where systemd keeps the state of a service with a user of no lasting number; it gives that user what we make."""
SHIPPED = "/usr/share/appliance/appliance.toml"
IN_USE = "/etc/appliance/appliance.toml"
PORT = 8080
COMMAND_S = 30.0
"""A command that takes longer hangs. ssh-keygen takes the longest: a second on the slowest board."""


class Places(Struct, frozen=True):
    """The system, the FAT partition and the data partition; the latter two as they are seen from here."""

    root: Path
    card: Path
    data: Path

    @property
    def kept(self) -> Path:
        """What lasts of us."""
        return self.data / "setup"


class Outcome(Struct, frozen=True):
    """What has been done, in a line without secrets, and what could not be."""

    summary: str
    problems: tuple[Problem, ...]

    @property
    def failed(self) -> bool:
        """Something did not work that the owner did not write."""
        return any(problem.failure for problem in self.problems)


def apply(places: Places, run: Run) -> Outcome:
    """Make the system as the card says. ``run`` runs the commands."""
    work = _Work(places, run)
    work.apply()
    return Outcome(work.summary, tuple(work.problems))


def run_here(command: tuple[str, ...]) -> None:
    """Run a command of the system. Raises OSError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False)
    except FileNotFoundError as error:
        raise OSError(None, f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(None, f"{command[0]} does not end") from error
    if done.returncode:
        raise OSError(None, f"{command[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")


class _Work:
    """One run. Problems are gathered in the order in which they are met."""

    def __init__(self, places: Places, run: Run) -> None:
        self._places = places
        self._run = run
        self._card = Card(places.card, run)
        self._port = PORT
        self._shown: str | None = None
        self.problems: list[Problem] = []
        self.summary = ""

    def apply(self) -> None:
        asked, known = self._read()
        planned = plan(asked, self._box())
        self.problems += planned.problems
        for file in planned.files:
            with self._part(file.path):
                put(self._places.root, file)
        self._configure(planned)
        with self._part("the data partition"):
            make_private(self._places.kept)
        if planned.ssh:
            with self._part("ssh"):
                ssh.host_key(self._places.kept, self._run)
        with self._part("the API keys"):
            self._keys(asked, known, planned.name)
        if self._places.root == Path("/"):
            for command in planned.commands:
                with self._part(command[0]):
                    self._run(command)
        self._tell(planned.name)
        self.summary = _summary(planned, asked)

    def _read(self) -> tuple[Settings, bool]:
        """What is asked for, and whether that is known: without a card nobody has said that anything shall go."""
        data = None
        with self._part(SETTINGS):
            data = self._card.read(SETTINGS)
        if data is None:
            return Settings(), False
        asked, problems = settings.read(data)
        self.problems += problems
        return asked, True

    def _box(self) -> Box:
        root = self._places.root
        key = self._places.kept / ssh.FOLDER / ssh.KEY
        seen = f"/{key.relative_to(root)}" if key.is_relative_to(root) else str(key)
        try:
            name = below(root, "/etc/hostname").read_text().strip() or "appliance"
        except (OSError, UnicodeDecodeError):
            name = "appliance"
        return Box(name, seen, self._models, lambda zone: below(root, f"/usr/share/zoneinfo/{zone}").is_file())

    def _models(self) -> Collection[str]:
        from appliance.packs.store import PackError, Store

        try:
            return Store(below(self._places.root, f"{STATE}/models")).names()
        except PackError:
            return ()

    def _configure(self, planned: Plan) -> None:
        root = self._places.root
        with self._part("the appliance's configuration"):
            own = self._card.read(OWN)
            shipped = below(root, SHIPPED).read_text()
            folder = below(root, IN_USE).parent
            folder.mkdir(parents=True, exist_ok=True)
            text, problems = compose(
                shipped, planned.tables, None if own is None else decode(own), folder / ".trial.toml"
            )
            self.problems += problems
            put(root, File(IN_USE, text))
            self._port = _port(text)

    def _keys(self, asked: Settings, known: bool, host: str) -> None:
        state = below(self._places.root, STATE)
        make_private(state.parent)
        make_private(state)
        store = Keys(state / "accounts")
        first = keys.FirstKey(self._card, store, self._places.kept)
        if known:
            keys.follow(store, asked.keys, time.time())
        if not self._card.there:
            raise OSError(None, "the card's FAT partition is not there, so none is made")
        if not asked.wants_keys and asked.access != "open":
            first.make(host, self._port)
        self._shown = first.shown(host, self._port)

    def _tell(self, host: str) -> None:
        with self._part(console.ERRORS):
            if self.problems and self._card.there:
                self._card.write(console.ERRORS, console.errors(self.problems))
            elif self._card.there:
                self._card.remove(console.ERRORS)
        if self._card.complaint:
            self.problems.append(Problem(self._card.complaint, failure=True))
        with self._part(console.ISSUE):
            mode = 0o600 if self._shown else 0o644
            put(
                self._places.root,
                File(console.ISSUE, console.issue(host, self._port, self._shown, self.problems), mode),
            )

    @contextmanager
    def _part(self, what: str) -> Iterator[None]:
        """Something whose failure is told and not the end."""
        try:
            yield
        except KeysError as error:
            self.problems.append(Problem(str(error), failure=True))
        except OSError as error:
            self.problems.append(Problem(f"{what}: {error.strerror or error}", failure=True))


def _port(configuration: str) -> int:
    port: int = tomllib.loads(configuration).get("server", {}).get("port", PORT)
    return port


def _summary(planned: Plan, asked: Settings) -> str:
    said = [
        f"host {planned.name}",
        *([f"Wi-Fi: {len(asked.wifi)}"] if asked.wifi else []),
        *([f"address {asked.address.address}"] if asked.address else []),
        *([f"keys: {len(asked.keys)}"] if asked.keys else []),
        *([f"ssh keys: {len(asked.ssh_keys)}"] if asked.ssh_keys else []),
    ]
    return ", ".join(said)
