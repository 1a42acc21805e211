"""``appliance update`` as people, units and scripts call it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.cli import update as module
from appliance.update import flow, remote, service
from appliance.update.manifest import NotTaken
from appliance.update.releases import only_one
from appliance.update.verdict import Outcome, Verdict, load
from tests.update.box import CHECKOUT, Box, Signer, bundle, program
from tests.update.test_releases import kept

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root updates")


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box(tmp_path, Signer(tmp_path))
    monkeypatch.setattr(module, "Places", lambda: made.places)
    monkeypatch.setattr(module, "SPOOLED", tmp_path / "update.bundle")
    return made


def run(*words: object) -> Result:
    result = CliRunner().invoke(module.update, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a FILE"),
        (["x", "--status"], "name a FILE"),
        (["--status", "--back"], "name a FILE"),
        (["x", "--box", "http://box:8080"], "--box needs --key-file"),
        (["/nonexistent"], "No such file"),
        (["x", "--box", "nonsense", "--key-file", "/dev/null"], "a URL looks like"),
        (["x", "--box", "http://box:8080", "--key-file", "/dev/null"], "there is no key in it"),
    ],
)
@root
def test_usage(box: Box, words: list[str], said: str) -> None:
    result = run(*words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_only_root_changes_anything(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (["x"], ["--back"], ["--try"], ["--spooled"], ["--stick", "/"]):
        result = run(*words)
        assert (result.exit_code, "only root may do that" in result.stderr) == (2, True)
    assert run("--status").exit_code == 0


def test_status(box: Box) -> None:
    assert run("--status").stdout == (
        "shipped  1.0\nupdate   none\nin use   1.0\nnow      nothing is done\nlast     there was none\n"
    )
    kept(box)
    flow.refused(box.places, "it is for another board", lambda: 7.0)
    assert run("--status").stdout == (
        "shipped  1.0\nupdate   2.0\nin use   2.0\nnow      nothing is done\n"
        "last     refused: it is for another board\n"
    )
    told = json.loads(run("--status", "--json").stdout)
    assert (told["shipped"]["version"], told["running"]["version"], told["current"]) == ("1.0", "2.0", "2.0")
    assert told["verdict"] == {"outcome": "refused", "version": "", "why": "it is for another board", "at": 7.0}


def test_status_of_what_is_no_installation(box: Box) -> None:
    (box.places.shipped / "release.json").unlink()
    assert run("--status").stdout.startswith("shipped  unknown: this is no installed appliance\n")


@root
@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.KEPT, 0), (Outcome.BACK, 1), (Outcome.TRYING, 1), (Outcome.DROPPED, 1), (Outcome.REFUSED, 2)],
)
def test_how_it_ends(box: Box, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, status: int) -> None:
    verdict = Verdict(outcome=outcome, version="2.0", why="so")
    monkeypatch.setattr(flow, "update", lambda *arguments, **options: verdict)
    file = box.root / "file"
    file.write_bytes(b"x")
    result = run(file)
    assert (result.exit_code, result.stdout) == (status, f"2.0: {outcome.value}: so\n")


@root
def test_a_refusal_by_hand_is_told_and_one_that_nobody_reads_is_kept(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "require", lambda: None)
    with only_one(box.places):
        pass
    file, old = module.SPOOLED, bundle(box.signer, program("0.9", 900))
    file.write_bytes(old)
    result = run(file)
    assert (result.exit_code, "refused: it is older" in result.stderr) == (2, True)
    assert load(box.places.base) is None
    result = run("--spooled")
    assert (result.exit_code, "refused: it is older" in result.stderr) == (2, True)
    assert load(box.places.base).why.startswith("it is older")  # type: ignore[union-attr]


@root
def test_a_stick_without_an_update_is_no_matter(box: Box, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    result = run("--stick", tmp_path / "stick")
    assert (result.exit_code, result.output) == (0, "")


@root
def test_what_is_unpacked_is_for_the_daemon_to_read_whoever_calls(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "require", lambda: None)
    monkeypatch.setattr(service, "start_trial", lambda meanwhile: None)
    file = box.root / "file"
    file.write_bytes(bundle(box.signer, program("2.0", 2_000)))
    old = os.umask(0o077)
    try:
        run(file)
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o044 for path in (box.places.releases / "2.0").rglob("*")} == {0o044}


# the script for a stick, with stand-ins for what it calls


@pytest.mark.parametrize(
    ("kind", "mounted", "files", "options", "taken"),
    [
        ("vfat", "", ["a.appliance-update"], "ro,nosuid,nodev,noexec", True),
        ("ext4", "", ["a.appliance-update"], "ro,nosuid,nodev,noexec,noload", True),
        ("exfat", "", ["photo.jpg"], "ro,nosuid,nodev,noexec", False),
        ("vfat", "", [], "ro,nosuid,nodev,noexec", False),
        ("ntfs", "", ["a.appliance-update"], "", False),
        ("", "", ["a.appliance-update"], "", False),
        ("vfat", "/dev/sda1 / ext4 rw 0 0\n", ["a.appliance-update"], "", False),
        ("vfat", "/dev/sda10 / ext4 rw 0 0\n", [], "ro,nosuid,nodev,noexec", False),
    ],
)
def test_a_stick_is_mounted_to_be_read_and_only_then_looked_at(
    tmp_path: Path, kind: str, mounted: str, files: list[str], options: str, taken: bool
) -> None:
    place, log = tmp_path / "stick", tmp_path / "log"
    place.mkdir()
    for name in files:
        (place / name).write_text("x")
    (tmp_path / "mounts").write_text(mounted)
    for name, text in {
        "blkid": f"echo {kind}",
        "mount": f'echo "mount $*" >>{log}',
        "appliance": f'echo "$*" >>{log}',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = (CHECKOUT / "systemd" / "libexec" / "stick").read_text()
    for real, here in {
        "/run/appliance-update/stick": place,
        "/proc/self/mounts": tmp_path / "mounts",
        "/usr/bin/appliance": tmp_path / "appliance",
    }.items():
        assert real in script
        script = script.replace(real, str(here))
    done = subprocess.run(
        ["/bin/sh", "-c", script, "stick", "sda1"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    found = log.read_text().splitlines() if log.exists() else []
    mounts = [f"mount -t {kind} -o {options} /dev/sda1 {place}"] if options else []
    assert found == mounts + [f"update --stick {place}"] * taken


def test_a_stick_that_cannot_be_mounted_is_no_update(tmp_path: Path) -> None:
    for name, text in {"blkid": "echo vfat", "mount": "echo bad superblock >&2; exit 32"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = (CHECKOUT / "systemd" / "libexec" / "stick").read_text()
    script = script.replace("/run/appliance-update/stick", str(tmp_path / "stick"))
    command = ["/bin/sh", "-c", script, "stick", "sda1"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "bad superblock\n")


# sending


class Far(remote.Remote):
    """A box that answers one thing after the other."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__("http://box:8080", "key")
        self.sent = b""
        self._answers = iter(answers)

    def status(self) -> remote.Told:
        answer = next(self._answers)
        if isinstance(answer, NotTaken):
            raise answer
        return answer  # type: ignore[no-any-return]

    def send(self, bundle: Any, size: int) -> None:
        self.sent = bundle.read()


OLD, NEW = Verdict(outcome=Outcome.KEPT, version="1.5", at=1.0), Verdict(outcome=Outcome.KEPT, version="2.0", at=2.0)
TRYING = Verdict(outcome=Outcome.TRYING, version="2.0", at=1.5)


def test_the_box_s_verdict_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "LOOK_S", 0.0)
    far = Far(
        [
            remote.Told(OLD),
            remote.Told(OLD, pending=True),
            remote.Told(OLD, step="unpacking"),
            remote.Told(TRYING, step="trying"),
            NotTaken("no answer"),
            remote.Told(TRYING),
            remote.Told(NEW, step="listening"),
            remote.Told(NEW),
        ]
    )
    (tmp_path / "file").write_bytes(b"bundle")
    told: list[str] = []
    with (tmp_path / "file").open("rb") as file:
        assert remote.update(far, file, 6, told.append) == NEW
    assert (far.sent, told) == (b"bundle", ["sending it", "sent; the box tries it", "unpacking", "trying", "listening"])


def test_a_box_that_never_says_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "VERDICT_S", 0.0)
    (tmp_path / "file").write_bytes(b"")
    with (tmp_path / "file").open("rb") as file, pytest.raises(NotTaken, match="no verdict in 0 minutes"):
        remote.update(Far([remote.Told(OLD)]), file, 0, lambda line: None)


def test_who_does_not_answer_or_is_somebody_else(tmp_path: Path) -> None:
    with pytest.raises(NotTaken, match=r"127\.0\.0\.1:9 cannot be asked"):
        remote.Remote("http://127.0.0.1:9", "key").status()
