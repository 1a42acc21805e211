"""All ways in lead through here: what is told, what is kept as a verdict, what a stick offers."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.accounts import disk
from appliance.update import flow, service
from appliance.update.manifest import NotTaken
from appliance.update.releases import STEP, drop, keep, only_one, status, step, try_next
from appliance.update.service import State
from appliance.update.trial import try_out
from appliance.update.verdict import Outcome, Verdict, load
from tests.update.box import Box, Signer, bundle, program
from tests.update.test_releases import kept
from tests.update.test_trial import BAD, GOOD, OLD, READY, STARTING, Scene

NEW = program("2.0", 2_000)


@pytest.fixture
def trials(box: Box, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """``trials(shown)``: systemd runs, and a trial shows this. ``trials()``: the unit does not start."""
    told: list[str] = []

    def arrange(*shown: Any) -> list[str]:
        def start(meanwhile: Callable[[], None]) -> None:
            if shown:
                with only_one(box.places, trial=True), flow.steps(box.places, lambda line: None, "trying") as tell:
                    meanwhile()
                    tell("listening")
                    meanwhile()
                    try_out(box.places, Scene([OLD, STARTING, READY], list(shown)).trial(), lambda: 7.0)
            told.append(box.guard("settle"))

        monkeypatch.setattr(service, "require", lambda: None)
        monkeypatch.setattr(service, "start_trial", start)
        return told

    return arrange


def take(box: Box, data: bytes, **options: Any) -> tuple[Verdict, list[str]]:
    told: list[str] = []
    return flow.update(io.BytesIO(data), box.places, told.append, lambda: 5.0, **options), told


def test_a_good_update_is_taken(box: Box, trials: Callable[..., list[str]]) -> None:
    settled = trials(GOOD)
    verdict, told = take(box, bundle(box.signer, NEW))
    assert (verdict.outcome, verdict.line) == (Outcome.KEPT, "2.0: kept: it wrote 'ten'")
    assert told[0] == "checking who has signed it"
    assert told[1].startswith("unpacking 2.0, 0.0 MB, signed by release")
    assert told[-3:] == ["trying 2.0: the service is started with it", "trying", "listening"]
    assert (box.version(), settled, step(box.places)) == ("2.0", [""], "")


def test_a_bad_one_is_taken_back(box: Box, trials: Callable[..., list[str]]) -> None:
    trials(BAD)
    verdict, _ = take(box, bundle(box.signer, NEW))
    assert verdict.line == "2.0: rolled back: it wrote 'nine' and not 'ten'"
    assert box.version() == "1.0"
    assert status(box.places).verdict == verdict


def test_a_trial_that_does_not_begin_is_told(box: Box, trials: Callable[..., list[str]]) -> None:
    trials()
    verdict, _ = take(box, bundle(box.signer, NEW))
    assert verdict.line == "2.0: rolled back: the trial was broken off"


def test_a_refusal_changes_nothing_and_is_over(box: Box, trials: Callable[..., list[str]]) -> None:
    settled = trials(GOOD)
    kept(box, "1.5", 1_500)
    for data, words in (
        (bundle(box.signer, program("1.2", 1_200)), "it is older"),
        (bundle(box.signer, NEW, spoil=lambda payload: bytes(len(payload))), "not what was signed"),
        (b"", "not complete"),
    ):
        with pytest.raises(NotTaken, match=words):
            take(box, data)
    assert (box.version(), settled, step(box.places)) == ("1.5", [], "")
    assert take(box, bundle(box.signer, program("1.2", 1_200)), again=True)[0].outcome is Outcome.KEPT
    assert box.version() == "1.2"


def test_none_while_another_is_taken_or_tried(
    box: Box, trials: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials(GOOD)
    monkeypatch.setattr(disk, "LOCK_S", 0.0)
    for trial in (False, True):
        with only_one(box.places, trial=trial), pytest.raises(NotTaken, match="another update is under way"):
            take(box, bundle(box.signer, NEW))


@pytest.mark.parametrize(
    ("runs", "state", "words"),
    [
        (False, "active", "systemd does not run here"),
        (True, "inactive", "the service is stopped, and an update is tried by running it: systemctl start appliance"),
        (True, "active", ""),
        (True, "activating", ""),
    ],
)
def test_where_it_could_not_be_tried_it_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: bool, state: str, words: str
) -> None:
    monkeypatch.setattr(service, "RUNS", tmp_path if runs else tmp_path / "nowhere")
    monkeypatch.setattr(service.Systemd, "state", lambda systemd: State(state))
    if not words:
        service.require()
        return
    with pytest.raises(NotTaken, match=words):
        service.require()


def test_what_systemd_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "systemctl"
    tool.write_text(
        "#!/bin/sh\n"
        "case $1 in show) printf '%s\\n' SubState=running StatusText=a=b InvocationID=x ActiveState=active ;;\n"
        '*) echo "$@" >>$0.log; echo no >&2; exit 1 ;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert service.Systemd().state() == State("active", "running", "x", "", "a=b")
    with pytest.raises(NotTaken, match="systemd refuses: no"):
        service.Systemd().restart()
    with pytest.raises(NotTaken, match="systemd refuses: no"):
        service.Systemd().restart(only_if_it_runs=True)
    looks: list[None] = []
    monkeypatch.setattr(service, "LOOK_S", 0.0)
    service.start_trial(lambda: looks.append(None))
    assert Path(f"{tool}.log").read_text().splitlines() == [
        "restart --no-block appliance.service",
        "try-restart --no-block appliance.service",
        "start appliance-trial.service",
    ]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(NotTaken, match="systemd cannot be asked"):
        service.Systemd().state()


def test_back_to_what_is_shipped(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    restarted: list[bool] = []
    monkeypatch.setattr(service, "RUNS", box.root)
    monkeypatch.setattr(service.Systemd, "restart", lambda systemd, only_if_it_runs: restarted.append(only_if_it_runs))
    assert flow.back(box.places, lambda: 7.0) == ""
    kept(box)
    assert flow.back(box.places, lambda: 7.0) == "2.0"
    assert (box.version(), restarted) == ("1.0", [True])
    verdict = load(box.places.base)
    assert verdict is not None
    assert verdict.line == "2.0: dropped: as was asked for"


def test_a_refusal_that_nobody_reads_is_kept_but_not_over_a_trial(box: Box, trials: Callable[..., list[str]]) -> None:
    trials()
    flow.refused(box.places, "no", lambda: 7.0)
    assert load(box.places.base) is None, "there is no folder yet, and that is no error"
    take(box, bundle(box.signer, NEW))
    flow.refused(box.places, "no", lambda: 7.0)
    assert load(box.places.base).outcome is Outcome.TRYING  # type: ignore[union-attr]


def test_what_is_done_is_told_until_it_is_over_or_long_silent(box: Box) -> None:
    with only_one(box.places), flow.steps(box.places, lambda line: None, "first") as tell:
        tell("second")
        assert status(box.places).step == "second"
        os.utime(box.places.run / STEP, (0, 0))
        assert status(box.places).step == ""
    assert not (box.places.run / STEP).exists()


# what is opened, and what a stick offers


def test_only_a_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with flow.opened(tmp_path / "link") as file:
        assert file.read() == b"x"
    for name, words in (
        ("link", "Too many levels"),
        ("pipe", "is no file"),
        ("none", "No such file"),
        (".", "is no file"),
    ):
        with pytest.raises(NotTaken, match=words):
            flow.opened(tmp_path / name, follow=False)


def test_the_newest_on_a_stick_is_taken_if_it_is_new(box: Box, tmp_path: Path) -> None:
    stick, told = tmp_path / "stick", []
    (stick / "folder.appliance-update").mkdir(parents=True)
    assert find(box, stick, told) == ""
    (stick / "letter.txt").write_text("dear all")
    assert find(box, stick, told) == ""
    (stick / "a.appliance-update").write_bytes(bundle(box.signer, program("3.0", 3_000)))
    (stick / "b.appliance-update").write_bytes(bundle(box.signer, NEW))
    (stick / "c.appliance-update").write_bytes(bundle(Signer(tmp_path), program("4.0", 4_000)))
    (stick / "d.appliance-update").symlink_to(tmp_path / "release")
    (stick / "deep").mkdir()
    (stick / "deep" / "e.appliance-update").write_bytes(bundle(box.signer, program("5.0", 5_000)))
    assert find(box, stick, told) == "a.appliance-update"
    assert [line.partition(": ")[0] for line in told] == [
        "c.appliance-update", "d.appliance-update", "folder.appliance-update"
    ]  # fmt: skip
    told.clear()
    kept(box, "3.0", 3_000)
    assert find(box, stick, told) == ""
    assert told[-1] == "a.appliance-update is not newer than what runs"


def test_stick_with_an_older_update_after_a_rollback_is_not_taken(box: Box, tmp_path: Path) -> None:
    stick, told = tmp_path / "stick", []
    stick.mkdir()
    kept(box, "3.0", 3_000)
    drop(box.places)
    (stick / "a.appliance-update").write_bytes(bundle(box.signer, NEW))
    assert find(box, stick, told) == ""
    assert told[-1].startswith("a.appliance-update is older than the newest update that was kept here")
    (stick / "b.appliance-update").write_bytes(bundle(box.signer, program("4.0", 4_000)))
    assert find(box, stick, told) == "b.appliance-update"


def find(box: Box, stick: Path, told: list[str]) -> str:
    try:
        found = flow.newest(stick, box.places, told.append)
    except NotTaken as error:
        assert "folder.appliance-update" in str(error)
        return ""
    return found.name if found else ""


def test_a_stick_with_nothing_but_a_stranger_s_is_refused(box: Box, tmp_path: Path) -> None:
    (tmp_path / "c.appliance-update").write_bytes(bundle(Signer(tmp_path, "stranger"), NEW))
    with pytest.raises(NotTaken, match=r"c\.appliance-update: it is not signed by anybody"):
        flow.newest(tmp_path, box.places, lambda line: None)


def test_a_trial_begins_with_what_was_put_up_and_ends_it(box: Box) -> None:
    kept(box)
    keep(box.places, "2.0")
    with pytest.raises(NotTaken):
        try_next(box.places)
