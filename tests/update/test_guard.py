"""The shell script beside the daemon: counts starts that come to nothing, and takes back what was not kept."""

from __future__ import annotations

import fcntl
import os
import shutil

import pytest

from appliance.update.releases import keep, only_one, put_up, status, try_next
from appliance.update.verdict import Outcome, load
from tests.update.box import Box
from tests.update.test_releases import kept, staged

FAILED = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "1"}


def start(box: Box, times: int, **ended: str) -> str:
    """Starts that never become ready; what was said."""
    said = ""
    for _ in range(times):
        said += box.guard("starting") + box.guard("ended", **(ended or FAILED))
    return said


def test_an_update_that_never_becomes_ready_is_dropped(box: Box) -> None:
    kept(box)
    assert start(box, 5) == ""
    assert box.version() == "2.0"
    said = box.guard("starting")
    assert said == (
        "the update 2.0 is dropped, the shipped program is started: it was started 5 times and was never ready\n"
    )
    assert box.version() == "1.0"
    verdict = load(box.places.base)
    assert verdict is not None
    assert (verdict.outcome, verdict.version, verdict.at > 1.7e9) == (Outcome.DROPPED, "2.0", True)
    assert start(box, 20) == "", "there is nothing more to drop"


def test_one_that_becomes_ready_begins_anew(box: Box) -> None:
    kept(box)
    for _ in range(4):
        start(box, 4)
        box.guard("starting")
        box.guard("ready")
        box.guard("ended", **FAILED)
    assert box.version() == "2.0"


@pytest.mark.parametrize(
    "ended",
    [
        {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"},
        {"SERVICE_RESULT": "success", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"},
        {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"},
    ],
)
def test_no_model_and_a_wrong_configuration_are_no_fault_of_a_program(box: Box, ended: dict[str, str]) -> None:
    """It waits for a model until somebody stops it, and ends with 2 for what the configuration asks in vain."""
    kept(box)
    assert start(box, 20, **ended) == ""
    assert box.version() == "2.0"


@pytest.mark.parametrize(
    "ended",
    [
        {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "SEGV"},
        {"SERVICE_RESULT": "timeout", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"},
        {"SERVICE_RESULT": "protocol", "EXIT_CODE": "exited", "EXIT_STATUS": "0"},
        {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "127"},
        {"SERVICE_RESULT": "resources"},
    ],
)
def test_other_ends_are(box: Box, ended: dict[str, str]) -> None:
    kept(box)
    start(box, 6, **ended)
    assert box.version() == "1.0"


@pytest.mark.parametrize("count", ["", "x", "-1", "3\n4"])
def test_a_count_that_is_none(box: Box, count: str) -> None:
    kept(box)
    (box.places.run / "starts").write_text(count)
    box.guard("starting")
    assert box.version() == "2.0"
    assert (box.places.run / "starts").read_text() == "1\n"


def test_starts_on_trial_are_not_counted(box: Box) -> None:
    """Whoever tries it judges them; they must not cost the program that was kept before."""
    kept(box)
    put_up(box.places, staged(box, "3.0", 3_000))
    with only_one(box.places, trial=True):
        try_next(box.places)
        start(box, 20)
        assert box.version() == "3.0"
    assert status(box.places).current == "2.0"


def test_a_trial_whose_keeper_is_gone_is_over_with_the_next_start(box: Box) -> None:
    put_up(box.places, staged(box))
    with only_one(box.places, trial=True):
        try_next(box.places)
    box.guard("starting")
    assert box.version() == "1.0"


def test_after_a_trial_what_was_not_kept_is_taken_back(box: Box) -> None:
    kept(box)
    put_up(box.places, staged(box, "3.0", 3_000))
    try_next(box.places)
    assert box.guard("settle") == (
        "the update is not kept: what ran before is started again\nsystemctl --no-block restart appliance.service\n"
    )
    assert box.version() == "2.0"
    assert box.guard("settle") == ""


def test_after_a_trial_what_was_kept_stays_and_is_not_disturbed(box: Box) -> None:
    """Also when whoever kept it was ended before he could take the trial's link away."""
    put_up(box.places, staged(box))
    name = try_next(box.places)
    trial = box.places.run / "trial"
    shutil.copy(trial, box.root / "trial", follow_symlinks=False)
    keep(box.places, name)
    assert box.guard("settle") == ""
    os.replace(box.root / "trial", trial)
    assert box.guard("settle") == ""
    assert not os.path.lexists(trial)
    assert box.version() == "2.0"


def test_it_works_before_anything_was_ever_updated(box: Box) -> None:
    for what in ("settle", "ended", "ready", "starting", "ready"):
        assert box.guard(what, **FAILED) == ""
    assert box.version() == "1.0"


def test_a_lock_is_what_both_sides_take_for_one(box: Box) -> None:
    """The script looks whether the lock is held, as Python holds it."""
    put_up(box.places, staged(box))
    try_next(box.places)
    with only_one(box.places, trial=True):
        lock = os.open(box.places.run / "lock", os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock)
        box.guard("starting")
        assert box.version() == "2.0"
