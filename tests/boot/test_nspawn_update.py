"""Updates in a booted container: taken, refused, taken back, whatever ends in the middle, and over a reboot."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.bundles import SHIPPED, Workshop
from tests.boot.clients import KIOSK, all_said, understood
from tests.boot.conftest import Box, booted
from tests.update.box import Signer

pytestmark = pytest.mark.boot

BASE = "/var/lib/appliance-update"
RUN = "/run/appliance-update"
BUNDLES = "/srv/bundles"
UPDATE_S = 300.0


@pytest.fixture(scope="module")
def workshop(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    # beside the root, so that trees can be linked instead of copied
    folder = tmp_path_factory.mktemp("bundles")
    return Workshop(root, folder, Signer(folder))


class Updated(Box):
    """A box that takes updates. What it keeps is in ``kept``, and outlives it."""

    def version(self) -> str:
        """Of the program that the daemon was started from, as its own environment has it; empty while it is a shell."""
        environment = self.machine.run("cat", f"/proc/{self.machine.show()['MainPID']}/environ", check=False)
        tree = next((line[11:] for line in environment.split("\0") if line.startswith("PYTHONPATH=")), "")
        return str(json.loads(self.machine.run("cat", f"{tree}/release.json"))["version"]) if tree else ""

    def update(self, file: str, *options: str) -> tuple[int, str]:
        """Status and words of the command."""
        command = f"appliance update {BUNDLES}/{file} {' '.join(options)} 2>&1; echo status $?"
        said, _, status = self.machine.run("sh", "-c", command, limit_s=UPDATE_S).rpartition("status ")
        return int(status), said

    def begin(self, file: str) -> None:
        """The same, and not wait for it."""
        self.machine.run("systemd-run", "--unit=taking", "appliance", "update", f"{BUNDLES}/{file}")

    def told(self) -> dict[str, object]:
        """What ``--status`` says to programs."""
        found: dict[str, object] = json.loads(self.machine.run("appliance", "update", "--status", "--json"))
        return found

    def verdict(self) -> str:
        """The last one in a line."""
        return re.sub(r"(?s).*\nlast +", "", self.machine.run("appliance", "update", "--status"))

    def serves(self, version: str) -> None:
        """It is ready, it is this program, and it writes what is said."""
        self.machine.until(ActiveState="active", StatusText="ready")
        assert self.version() == version
        assert understood(asyncio.run(all_said(self.url("ws"), self.key())))

    def on_trial(self) -> str:
        """Wait for one; the process that judges it."""
        self.machine.wait_for(lambda: self.machine.run("readlink", f"{RUN}/trial", check=False), "a trial")
        return self.machine.run("systemctl", "show", "appliance-trial", "--property=MainPID", "--value")


@contextmanager
def updatable(root: Path, folder: Path, workshop: Workshop, kept: Path) -> Iterator[Updated]:
    kept.mkdir(exist_ok=True)
    release = folder.with_suffix(".json")
    release.write_text(json.dumps(SHIPPED))
    folder.mkdir()
    with booted(
        root, folder, KIOSK, f"--bind={kept}:{BASE}", f"--bind-ro={workshop.folder}:{BUNDLES}",
        f"--bind-ro={release}:/usr/lib/appliance/release.json",
    ) as box:  # fmt: skip
        box.machine.write("/etc/appliance/update-signers", workshop.signer.line())
        box.machine.until(ActiveState="active", StatusText="ready")
        yield Updated(box.machine, box.port, box.configuration)


@pytest.fixture
def box(root: Path, tmp_path: Path, workshop: Workshop) -> Iterator[Updated]:
    with updatable(root, tmp_path / "box", workshop, tmp_path / "kept") as box:
        yield box


def test_a_good_update_is_taken_and_stays_over_a_reboot(root: Path, tmp_path: Path, workshop: Workshop) -> None:
    good, newer = workshop.make("2.0", 2), workshop.make("3.0", 3)
    kept = tmp_path / "kept"
    with updatable(root, tmp_path / "first", workshop, kept) as box:
        box.serves("1.0")
        before = box.machine.show()["MainPID"]
        status, said = box.update(good)
        assert (status, said.splitlines()[-1]) == (0, "2.0: kept: kiosk-words wrote 'six seven eight nine ten'")
        assert box.machine.show()["MainPID"] != before
        pid = box.machine.show()["MainPID"]
        box.serves("2.0")
        assert box.machine.run("sh", "-c", f"ls {BASE}/releases/2.0/program/appliance/__pycache__ | head -1")
        assert box.machine.run("ls", RUN, check=False).split() == ["lock"]
        # the same, and older ones, are not taken, and nobody is disturbed
        for file, words in ((good, "it is what runs already"), (workshop.make("0.9", -1), "it is older")):
            status, said = box.update(file)
            assert (status, words in said) == (2, True), said
        assert box.machine.show()["MainPID"] == pid
        box.machine.run("systemctl", "start", "appliance-selftest.service", limit_s=120)
    with updatable(root, tmp_path / "second", workshop, kept) as box:
        box.serves("2.0")
        assert box.verdict().startswith("2.0: kept")
        assert box.update(newer)[0] == 0
        box.serves("3.0")
        assert sorted(path.name for path in (kept / "releases").iterdir()) == ["2.0", "3.0"]
        assert "3.0 is dropped" in box.machine.run("appliance", "update", "--back")
        box.machine.wait_for(lambda: box.machine.show()["ActiveState"] == "active" and box.version() == "1.0", "1.0")
        box.serves("1.0")


def test_what_is_refused_disturbs_nobody(box: Updated, workshop: Workshop, tmp_path: Path) -> None:
    box.serves("1.0")
    pid = box.machine.show()["MainPID"]
    stranger = workshop.make("2.1", 2, signer=Signer(tmp_path, "stranger"))
    good = workshop.make("2.0", 2)
    data = bytearray((workshop.folder / good).read_bytes())
    data[len(data) // 2] ^= 1
    (workshop.folder / "changed").write_bytes(data)
    (workshop.folder / "short").write_bytes(data[: len(data) // 2])
    for file, words in (
        (stranger, "not signed by anybody whom this box trusts"),
        ("changed", "not what was signed"),
        ("short", "not complete"),
        ("none", "No such file"),
    ):
        status, said = box.update(file)
        assert (status, words in said) == (2, True), said
    box.machine.run("rm", "/etc/appliance/update-signers")
    status, said = box.update(good)
    assert (status, "knows no signer: put a line like" in said) == (2, True), said
    assert box.machine.run("ls", f"{BASE}/releases") == ""
    assert box.machine.show()["MainPID"] == pid


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("dead", "it ended by itself"),
        ("deaf", "kiosk-words wrote 'start start start start start' and not 'six seven eight nine ten'"),
        ("stranded", "its own command does not work"),
    ],
)
def test_a_broken_program_is_taken_back(box: Updated, workshop: Workshop, broken: str, words: str) -> None:
    status, said = box.update(workshop.make("2.0", 2, broken))
    assert (status, words in said.splitlines()[-1]) == (1, True), f"{said}\n{box.machine.journal()}"
    box.machine.until(ActiveState="active")
    box.machine.wait_for(lambda: box.machine.show()["MainPID"] != "0" and box.version() == "1.0", "the old program")
    box.serves("1.0")
    box.machine.until(StatusText="update: 2.0: rolled back: ")
    # the next good one is taken, and its bad neighbour swept
    assert box.update(workshop.make("3.0", 3))[0] == 0
    box.serves("3.0")
    assert box.machine.run("ls", f"{BASE}/releases") == "3.0"


def test_an_update_killed_while_it_is_unpacked_is_as_if_it_had_never_been(box: Updated, workshop: Workshop) -> None:
    good = workshop.make("2.0", 2)
    box.begin(good)
    box.machine.wait_for(
        lambda: box.machine.run("sh", "-c", f"ls {BASE}/releases/2.0.new/program/numpy", check=False), "half a program"
    )
    box.machine.run("systemctl", "kill", "--signal=KILL", "taking")
    box.serves("1.0")
    box.machine.run("systemctl", "restart", "appliance", limit_s=120)
    box.serves("1.0")
    box.machine.run("systemctl", "reset-failed", "taking", check=False)
    assert box.update(good)[0] == 0
    assert box.machine.run("ls", f"{BASE}/releases") == "2.0"
    box.serves("2.0")


@pytest.mark.parametrize("whom", ["the judge", "both"])
def test_a_trial_that_is_killed_ends_with_the_old_program(box: Updated, workshop: Workshop, whom: str) -> None:
    box.begin(workshop.make("2.0", 2, "hanging"))
    judge = box.on_trial()
    if whom == "both":
        box.machine.run("systemctl", "kill", "--signal=KILL", "taking")
    box.machine.kill(int(judge), signal.SIGKILL)
    box.machine.wait_for(lambda: not box.machine.run("readlink", f"{RUN}/trial", check=False), "no trial")
    box.machine.wait_for(
        lambda: box.machine.show()["ActiveState"] == "active" and box.version() == "1.0", "the old program"
    )
    box.serves("1.0")
    assert box.verdict() == "2.0: rolled back: the trial was broken off"


def test_the_plug_is_pulled_in_a_trial(root: Path, tmp_path: Path, workshop: Workshop) -> None:
    kept = tmp_path / "kept"
    with updatable(root, tmp_path / "first", workshop, kept) as box:
        assert box.update(workshop.make("2.0", 2))[0] == 0
        box.begin(workshop.make("3.0", 3, "hanging"))
        box.on_trial()
        box.machine.wait_for(lambda: box.machine.show()["MainPID"] != "0" and box.version() == "3.0", "the new program")
    with updatable(root, tmp_path / "second", workshop, kept) as box:
        box.serves("2.0")
        assert box.verdict() == "3.0: rolled back: the trial was broken off"
        assert box.told()["trial"] is None


def test_an_update_that_later_does_not_start_is_dropped(box: Updated, workshop: Workshop) -> None:
    """As after a failure of the disk: it was kept, and now it cannot be started any more."""
    assert box.update(workshop.make("2.0", 2))[0] == 0
    box.serves("2.0")
    box.machine.write(f"{BASE}/releases/2.0/program/appliance/daemon.py", "raise ImportError\n")
    box.machine.run("rm", "-r", f"{BASE}/releases/2.0/program/appliance/__pycache__")
    box.machine.run("systemctl", "restart", "appliance", check=False, limit_s=120)
    box.machine.until(ActiveState="active", StatusText="ready", limit_s=150)
    box.serves("1.0")
    assert box.verdict() == "2.0: dropped: it was started 5 times and was never ready"
    assert "the update 2.0 is dropped" in box.machine.journal()


def test_a_missing_model_costs_no_update(box: Updated, workshop: Workshop) -> None:
    """It is started again and again by somebody who looks for what is wrong, and is never ready."""
    assert box.update(workshop.make("2.0", 2))[0] == 0
    box.machine.write("/etc/appliance/appliance.toml", box.configuration.replace("kiosk-words", "own-words"))
    for _ in range(7):
        box.machine.run("systemctl", "restart", "--no-block", "appliance")
        box.machine.until(ActiveState="activating", StatusText="no model")
    box.machine.write("/etc/appliance/appliance.toml", box.configuration)
    box.machine.run("systemctl", "restart", "appliance", limit_s=120)
    box.serves("2.0")


def test_one_is_sent_over_the_network(box: Updated, workshop: Workshop, tmp_path: Path) -> None:
    """From another machine, with a key that may; the box's answer is its verdict."""
    keys = {}
    for name, option in (("admin", "--admin"), ("other", "--no-admin")):
        keys[name] = tmp_path / name
        keys[name].write_text(box.machine.run("appliance", "keys", "create", name, option).split()[-1])

    def send(file: str, key: str = "admin") -> tuple[int, str]:
        command = [sys.executable, "-m", "appliance", "update", workshop.folder / file]
        done = subprocess.run(
            [*command, "--box", box.url(), "--key-file", keys[key]], capture_output=True, text=True, timeout=UPDATE_S,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    status, said = send(workshop.make("2.0", 2), "other")
    assert (status, "403: this key may not update the box" in said) == (2, True), said
    status, said = send(workshop.make("2.0", 2, "deaf"))
    assert (status, "2.0: rolled back: kiosk-words wrote 'start" in said) == (1, True), said
    box.serves("1.0")
    status, said = send(workshop.make("2.0", 2))
    assert (status, "2.0: kept" in said) == (0, True), said
    box.serves("2.0")
    status, said = send(workshop.make("0.9", -1))
    assert (status, "refused: it is older" in said) == (2, True), said
    assert "update" not in box.machine.run("sh", "-c", "ls /var/cache/appliance /run/appliance")


def test_what_the_daemon_s_user_puts_there_is_not_trusted(box: Updated, workshop: Workshop) -> None:
    """A link to what only root may read, a pipe, a folder: refused, and it does not wait or come back."""
    owner = box.machine.run("stat", "-L", "-c", "%u", "/run/appliance")

    def trap(script: str) -> None:
        as_daemon = ("setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "sh", "-c", script)
        inside = ("nsenter", "-t", box.machine.show()["MainPID"], "-m")
        box.machine.run(*inside, *as_daemon)
        box.machine.run(*inside, *as_daemon[:-1], "touch /run/appliance/update")
        box.machine.wait_for(lambda: not box.machine.run("ls", "/run/appliance/update", check=False), "it was seen")
        box.machine.until(unit="appliance-update.service", ActiveState="failed")

    spool = "/var/cache/appliance/update.bundle"
    for script, words in (
        (f"ln -s /etc/shadow {spool}", "Too many levels of symbolic links"),
        (f"mkfifo {spool}", "is no file"),
        (f"head -c 100000 /dev/urandom >{spool}", "no update"),
        ("true", "No such file"),
    ):
        trap(script)
        assert box.verdict().startswith("refused: ")
        assert words in box.verdict()
        box.machine.run("rm", "-f", spool)
    box.serves("1.0")


def test_the_units_of_updates_are_closed_as_far_as_they_can_be(box: Updated) -> None:
    said = box.machine.run(
        "sh", "-c",
        "systemd-analyze verify appliance-trial.service appliance-update.path appliance-stick@sda1.service 2>&1",
    )  # fmt: skip
    assert said == ""
    box.machine.run("udevadm", "verify", "/usr/lib/udev/rules.d/70-appliance.rules")
    assert box.machine.run("systemctl", "is-enabled", "appliance-update.path") == "enabled"
    for unit, most in (("appliance-trial", 2.5), ("appliance-update", 2.0), ("appliance-stick@sda1", 2.5)):
        told = box.machine.run("systemd-analyze", "security", "--no-pager", f"{unit}.service")
        exposure = re.search(r"exposure level for \S+ ([0-9.]+)", told)
        assert exposure is not None
        assert float(exposure[1]) <= most, told
