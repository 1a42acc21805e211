"""Programs on the disk: whatever is cut short, the command takes a whole one, the old or the new."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.accounts import disk
from appliance.update import releases, stage
from appliance.update.bundle import opened
from appliance.update.manifest import FILE, NotTaken
from appliance.update.releases import HIGHEST, drop, end_trial, highest, keep, only_one, put_up, status, try_next
from appliance.update.verdict import Outcome, Verdict, load, save
from tests.update.box import Box, bundle, program

STEPS = ("mkdir", "open", "symlink", "rename", "replace", "unlink", "rmdir", "fsync")
"""Calls of the operating system that change a disk, as Python has them."""


class Cut(BaseException):
    """The plug is pulled: nothing that would clean up may catch it."""


@contextmanager
def cut_after(count: int, done: list[str]) -> Iterator[None]:
    """Let ``count`` such calls and runs of ``sync`` happen, then no more; ``done`` gets their names."""

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            if name == "run" and arguments[0][0] != "sync":
                return call(*arguments, **options)
            if len(done) >= count:
                raise Cut
            result = call(*arguments, **options)
            done.append(f"{name} {os.path.basename(str(arguments[0][-1] if name == 'run' else arguments[0]))}")
            return result

        return counting

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        patch.setattr(subprocess, "run", counted("run", subprocess.run))
        yield


def staged(box: Box, version: str = "2.0", built: int = 2_000, *, again: bool = False) -> str:
    """Unpacked, and nothing else."""
    source = io.BytesIO(bundle(box.signer, program(version, built)))
    with only_one(box.places):
        found = opened(source, lambda data, signature: "release")
        return stage.stage(found, box.places, lambda line: None, again=again, compiler=lambda tree, final: True)


def kept(box: Box, version: str = "2.0", built: int = 2_000, *, again: bool = False) -> str:
    """The whole way of a good update, without a daemon."""
    put_up(box.places, staged(box, version, built, again=again))
    name = try_next(box.places)
    keep(box.places, name)
    return name


def test_the_way_of_an_update(box: Box) -> None:
    assert box.version() == "1.0"
    name = staged(box)
    assert (name, box.version()) == ("2.0", "1.0")
    put_up(box.places, name)
    assert box.version() == "1.0"
    try_next(box.places)
    assert (box.version("serve"), box.version("keys", "list"), box.version("update", "--try")) == ("2.0", "2.0", "1.0")
    keep(box.places, name)
    assert (box.version("serve"), box.version("update", "FILE"), box.version("update", "--back")) == (
        "2.0",
        "2.0",
        "1.0",
    )
    box.reboot()
    assert box.version() == "2.0"
    drop(box.places)
    assert box.version() == "1.0"


def test_an_update_on_trial_is_gone_after_a_reboot(box: Box) -> None:
    put_up(box.places, staged(box))
    try_next(box.places)
    box.reboot()
    assert box.version() == "1.0"
    assert status(box.places).trial is None


def test_a_trial_is_made_once(box: Box) -> None:
    put_up(box.places, staged(box))
    try_next(box.places)
    end_trial(box.places)
    with pytest.raises(NotTaken, match="nothing to be tried"):
        try_next(box.places)


def test_what_is_shipped_anew_comes_before_an_update_and_sweeps_it(box: Box) -> None:
    kept(box)
    box.ship(program("1.5", 1_500))
    assert box.version() == "1.5"
    assert status(box.places).running.version == "1.5"  # type: ignore[union-attr]
    staged(box, "1.6", 1_600)
    assert os.listdir(box.places.releases) == ["1.6"]
    assert status(box.places).current is None


def test_older_update_after_a_rollback_is_refused(box: Box) -> None:
    kept(box, "3.0", 3_000)
    drop(box.places)
    assert (box.version(), highest(box.places)) == ("1.0", 3_000)
    with pytest.raises(NotTaken, match=r"is older .* than the newest update that was kept here .*; --again takes it"):
        staged(box)
    assert kept(box, again=True) == "2.0"
    assert highest(box.places) == 3_000
    assert kept(box, "3.0", 3_000) == "3.0"


def test_older_update_after_the_guard_dropped_one_is_refused(box: Box) -> None:
    kept(box, "3.0", 3_000)
    for _ in range(6):
        box.guard("starting")
    assert box.version() == "1.0"
    with pytest.raises(NotTaken, match="than the newest update that was kept here"):
        staged(box)


def test_older_update_after_a_rolled_back_trial_is_taken(box: Box) -> None:
    """What was never kept does not count."""
    put_up(box.places, staged(box, "3.0", 3_000))
    try_next(box.places)
    end_trial(box.places)
    assert kept(box) == "2.0"


def test_update_kept_by_a_program_without_the_record_counts(box: Box) -> None:
    kept(box, "3.0", 3_000)
    (box.places.base / HIGHEST).unlink()
    assert highest(box.places) == 3_000
    drop(box.places)
    assert highest(box.places) == 3_000


@pytest.mark.parametrize("content", ["", "{", "[]", '{"built": "x", "over": "1.0"}', '{"built": 3000}', "\xff"])
def test_record_that_cannot_be_understood_counts_as_none(box: Box, content: str) -> None:
    box.places.base.mkdir()
    (box.places.base / HIGHEST).write_text(content, "latin-1")
    assert highest(box.places) == 1_000
    assert kept(box) == "2.0"


def test_record_over_another_shipped_program_counts_as_none(box: Box) -> None:
    kept(box, "3.0", 3_000)
    box.ship(program("1.5", 1_500))
    assert highest(box.places) == 1_500


def test_the_same_shipped_again_keeps_the_update(box: Box) -> None:
    kept(box)
    box.ship(program())
    assert box.version() == "2.0"


def test_what_was_used_until_now_stays_until_the_next_one(box: Box) -> None:
    """The updater itself may run from it."""
    kept(box)
    kept(box, "3.0", 3_000)
    assert sorted(os.listdir(box.places.releases)) == ["2.0", "3.0"]
    kept(box, "4.0", 4_000)
    assert sorted(os.listdir(box.places.releases)) == ["3.0", "4.0"]


def test_the_same_once_more_does_not_write_into_what_runs(box: Box) -> None:
    kept(box)
    assert kept(box, again=True) == "2.0~2"
    assert box.chosen().parent.name == "2.0~2"
    assert kept(box, again=True) == "2.0"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda box: shutil.rmtree(box.places.releases / "2.0"),
        lambda box: (box.places.releases / "2.0" / "over").unlink(),
        lambda box: (box.places.releases / "2.0" / "over").write_bytes(b""),
        lambda box: (box.places.releases / "2.0" / "program" / "appliance" / "__main__.py").unlink(),
        lambda box: shutil.rmtree(box.places.releases / "2.0" / "program"),
        lambda box: ((box.places.base / "current").unlink(), (box.places.base / "current").mkdir()),
        lambda box: ((box.places.base / "current").unlink(), (box.places.base / "current").symlink_to("current")),
        lambda box: shutil.rmtree(box.places.base),
    ],
)
def test_half_an_update_is_none(box: Box, spoil: Callable[[Box], object]) -> None:
    kept(box)
    spoil(box)
    assert box.version() == "1.0"
    found = status(box.places).running
    assert found is not None
    assert found.version == "1.0"


def test_an_installation_that_does_not_say_what_it_is_takes_none(box: Box) -> None:
    (box.places.shipped / FILE).unlink()
    with pytest.raises(NotTaken, match="does not say what it is"):
        staged(box)


def test_all_is_on_the_disk_before_it_gets_a_name_that_counts(box: Box) -> None:
    done: list[str] = []
    with cut_after(10_000, done):
        kept(box)
    last = max(
        done.index(step) for step in done if step.startswith(("open", "mkdir 2.0.new")) and "verdict" not in step
    )
    order = [done.index(step) for step in ("run 2.0.new", "rename 2.0.new", "symlink 2.0", "replace trial.new")]
    assert [last, *order] == sorted([last, *order])
    after = done[done.index("rename 2.0.new") + 1]
    assert after.startswith("fsync")
    assert done[done.index("replace current.new") + 1].startswith("fsync")


def test_wherever_it_is_cut_off_the_command_takes_a_whole_program(box: Box) -> None:
    """From 1.5 to 2.0, beside a rest of 1.2. What counts after a reboot is 1.5 until the link is replaced, then 2.0."""
    kept(box, "1.2", 1_200)
    kept(box, "1.5", 1_500)
    before = box.root / "before"
    shutil.copytree(box.places.base, before, symlinks=True)
    steps, seen = 0, []
    while True:
        shutil.rmtree(box.places.base)
        shutil.copytree(before, box.places.base, symlinks=True)
        box.reboot()
        done: list[str] = []
        try:
            with cut_after(steps, done):
                kept(box)
        except Cut:
            on_trial = box.version()
            box.reboot()
            seen.append((on_trial, box.version()))
            steps += 1
            kept(box, again=True)  # and it can be done again
            assert box.version() == "2.0"
            continue
        break
    assert steps > 25
    assert [pair for index, pair in enumerate(seen) if index == 0 or pair != seen[index - 1]] == [
        ("1.5", "1.5"), ("2.0", "1.5"), ("2.0", "2.0")
    ]  # fmt: skip


def test_wherever_taking_it_back_is_cut_off_there_is_a_whole_program(box: Box) -> None:
    for steps in range(10):
        kept(box, again=True)
        done: list[str] = []
        try:
            with cut_after(steps, done):
                drop(box.places)
        except Cut:
            assert box.version() in ("1.0", "2.0")
            continue
        assert box.version() == "1.0"
        assert steps >= 1
        return
    raise AssertionError("it does not come to an end")


# refusals that leave nothing


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spoil": lambda data: data[:-1] + bytes([data[-1] ^ 1])}, "not what was signed"),
        ({"spoil": lambda data: bytes(len(data))}, "not what was signed"),
        ({"change": lambda manifest: manifest.update(sha256="0" * 64)}, "not what was signed"),
        ({"change": lambda manifest: manifest.update(unpacked=512)}, "more in it than its manifest says"),
        ({"change": lambda manifest: manifest.update(version="2.1")}, "made wrongly"),
        ({"change": lambda manifest: manifest.update(built=2_001)}, "made wrongly"),
        ({"inside": [("x", b"", {})]}, "made wrongly"),
        ({"inside": [("../x", b"", {})]}, "leaves its folder"),
        ({"change": lambda manifest: manifest.update(arch="arm64")}, "it is for arm64"),
        ({"change": lambda manifest: manifest.update(built=1_000)}, "runs already"),
        ({"change": lambda manifest: manifest.update(unpacked=4 << 30, size=manifest["size"])}, "disk are needed"),
    ],
)
def test_what_is_refused_leaves_nothing(
    box: Box, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    room = shutil.disk_usage(box.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: room._replace(free=1 << 30))
    source = io.BytesIO(bundle(box.signer, program("2.0", 2_000), **options))
    with only_one(box.places), pytest.raises(NotTaken, match=words):
        found = opened(source, lambda data, signature: "release")
        stage.stage(found, box.places, lambda line: None, compiler=lambda tree, final: True)
    assert os.listdir(box.places.releases) == []
    assert box.version() == "1.0"


def test_a_disk_that_does_not_take_it_leaves_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "symlink", full)
    monkeypatch.setattr(releases, "complete", full)
    monkeypatch.setattr(stage, "complete", full)
    with pytest.raises(OSError, match="No space"):
        staged(box)
    assert os.listdir(box.places.releases) == []


def test_an_interruption_in_the_middle_is_swept_by_the_next_one(box: Box) -> None:
    (box.places.releases / "2.0.new" / "program").mkdir(parents=True)
    (box.places.releases / "2.0.new" / "program" / "half").write_text("x")
    staged(box)
    assert os.listdir(box.places.releases) == ["2.0"]


def test_bytecode_is_for_this_python_and_says_where_it_will_lie(box: Box, tmp_path: Path) -> None:
    tree, final = box.places.shipped, Path("/usr/lib/there")
    assert stage.compiled(tree, final)
    compiled = list(tree.rglob("__main__.*.pyc"))
    assert len(compiled) == 1
    data = compiled[0].read_bytes()
    assert data[4:8] == b"\1\0\0\0", "by hash, and never looked at again"
    assert b"/usr/lib/there/appliance/__main__.py" in data
    (tree / "appliance" / "parts" / "a.py").write_text("this is no Python")
    assert not stage.compiled(tree, final)


def test_what_cannot_be_compiled_is_taken_all_the_same(box: Box) -> None:
    told: list[str] = []
    found = opened(io.BytesIO(bundle(box.signer, program("2.0", 2_000))), lambda data, signature: "release")
    with only_one(box.places):
        stage.stage(found, box.places, told.append, compiler=lambda tree, final: False)
    assert told[-1] == "it could not be compiled: it will start more slowly"


# one at a time


def test_one_at_a_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOCK_S", 0.0)
    for trial in (False, True):
        with only_one(box.places, trial=trial):
            with pytest.raises(NotTaken, match="another update is under way"), only_one(box.places, trial=trial):
                pass
            with only_one(box.places, trial=not trial):
                pass
    assert {(folder / "lock").stat().st_mode & 0o777 for folder in (box.places.base, box.places.run)} == {0o700}


# the verdict


def test_a_verdict_is_one_line_for_everybody(box: Box) -> None:
    with only_one(box.places):
        save(
            box.places.base, Verdict(outcome=Outcome.BACK, version="2.0", why="it\nsaid \033[2J" + "x" * 1_000, at=1.5)
        )
    found = load(box.places.base)
    assert found is not None
    assert (found.outcome, found.version, found.at) == (Outcome.BACK, "2.0", 1.5)
    assert found.line.startswith("2.0: rolled back: it said  [2Jxxx")
    assert len(found.why) == 500
    assert (box.places.base / "verdict").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["", "{", '{"outcome": "lost"}', "[" * 100_000, "\udcff"])
def test_a_verdict_that_cannot_be_understood_is_none(box: Box, text: str) -> None:
    box.places.base.mkdir()
    (box.places.base / "verdict").write_bytes(text.encode(errors="surrogateescape"))
    assert load(box.places.base) is None
    assert status(box.places).verdict is None


def test_nothing_is_known_where_nothing_is_installed(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    found = status(releases.Places(nowhere, nowhere, nowhere, nowhere))
    assert (found.shipped, found.running, found.current, found.trial, found.step, found.verdict) == (
        None, None, None, None, "", None
    )  # fmt: skip
