"""Tables: what is taken, what it is called, what goes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from appliance.packs.disk import RESERVE
from appliance.update.decisions import Box, called, needed, to_sweep, why_not
from appliance.update.manifest import Manifest, NotTaken, Release, manifest, release
from appliance.update.verdict import Outcome, Verdict, settled

GOOD: dict[str, Any] = {
    "format": 1, "version": "0.1.0+20261126.1a2b3c4", "built": 2_000, "arch": "arm64", "pythons": ["3.11", "3.13"],
    "sha256": "0" * 64, "size": 1_000, "unpacked": 4_000,
}  # fmt: skip
RUNNING = Release("0.1.0", 1_000, "arm64", ("3.11", "3.13"))


@pytest.mark.parametrize(
    ("changes", "box", "again", "words"),
    [
        ({}, {}, False, ""),
        ({"arch": "amd64"}, {}, False, "it is for amd64, and this box is arm64"),
        ({"arch": "amd64"}, {}, True, "it is for amd64"),
        ({"pythons": ["3.11", "3.12"]}, {}, False, "it is for Python 3.11, 3.12, and this box runs it with 3.13"),
        ({"built": 1_000}, {}, False, "it is what runs already (0.1.0)"),
        ({"built": 1_000}, {}, True, ""),
        ({"built": 999}, {}, False, "it is older (1970-01-01 00:16) than what runs (1970-01-01 00:16); --again"),
        ({"built": 999}, {}, True, ""),
        ({"built": 10**17}, {}, False, ""),
        ({"built": 2_000}, {"highest": 2_000}, False, ""),
        ({"built": 2_000}, {"highest": 2_001}, False, "it is older (1970-01-01 00:33) than the newest update that was"),
        ({"built": 2_000}, {"highest": 2_001}, True, ""),
        ({}, {"free": RESERVE + 5_000}, False, ""),
        ({}, {"free": RESERVE + 4_999}, False, "67 MB of disk are needed and 67 MB are free"),
        ({}, {"free": RESERVE + 4_999}, True, "67 MB of disk are needed"),
    ],
)
def test_what_this_box_takes(changes: dict[str, Any], box: dict[str, Any], again: bool, words: str) -> None:
    offered = msgspec.convert(GOOD | changes, Manifest)
    found = why_not(offered, Box(**{"running": RUNNING, "python": "3.13", "free": 1 << 40} | box), again)
    assert bool(found) is bool(words)
    assert found.startswith(words)


def test_disk_is_counted_with_what_must_stay_free() -> None:
    assert needed(msgspec.convert(GOOD, Manifest)) == 5_000 + RESERVE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"later": "a field of another day"}, ""),
        ({"format": 2}, "format 2 and this program knows format 1"),
        ({"format": 2, "version": None}, "format 2 and this program knows format 1"),
        ({"format": "1"}, "cannot be understood"),
        ({"version": "../x"}, "cannot be understood"),
        ({"version": "a/b"}, "cannot be understood"),
        ({"version": ""}, "cannot be understood"),
        ({"version": "1~2"}, "cannot be understood"),
        ({"version": "1\n"}, "cannot be understood"),
        ({"version": "x" * 65}, "cannot be understood"),
        ({"built": -1}, "cannot be understood"),
        ({"pythons": ["2.7"]}, "cannot be understood"),
        ({"sha256": "0" * 63}, "cannot be understood"),
        ({"size": 0}, "cannot be understood"),
        ({"unpacked": 5 << 30}, "cannot be understood"),
    ],
)
def test_manifests(changes: dict[str, Any], words: str) -> None:
    data = json.dumps(GOOD | changes).encode()
    if not words:
        assert manifest(data).version == GOOD["version"]
        return
    with pytest.raises(NotTaken, match=words):
        manifest(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"version": "1.0"}'])
def test_what_is_no_release_or_manifest(data: bytes) -> None:
    assert release(data) is None
    with pytest.raises(NotTaken):
        manifest(data)


@pytest.mark.parametrize(
    ("taken", "name"),
    [((), "1.0"), (("1.1",), "1.0"), (("1.0",), "1.0~2"), (("1.0", "1.0~2"), "1.0~3"), (("1.0~2",), "1.0")],
)
def test_a_folder_in_use_is_not_written_into(taken: tuple[str, ...], name: str) -> None:
    assert called("1.0", taken) == name


def test_what_is_swept() -> None:
    assert to_sweep(["2.0.new", "1.1", "1.0"], {"1.1", ""}) == ["1.0", "2.0.new"]
    assert to_sweep([], {""}) == []


TRYING = Verdict(outcome=Outcome.TRYING, version="2.0", at=5.0)


@pytest.mark.parametrize(
    ("verdict", "trial", "current", "outcome"),
    [
        (None, "", "", None),
        (TRYING, "2.0", "1.0", Outcome.TRYING),
        (TRYING, "", "1.0", Outcome.BACK),
        (TRYING, "", "", Outcome.BACK),
        (TRYING, "", "2.0", Outcome.KEPT),
        (Verdict(outcome=Outcome.BACK, version="2.0"), "", "2.0", Outcome.BACK),
        (Verdict(outcome=Outcome.REFUSED), "2.0", "1.0", Outcome.REFUSED),
    ],
)
def test_who_was_ended_in_a_trial_left_no_word(
    verdict: Verdict | None, trial: str, current: str, outcome: Outcome | None
) -> None:
    found = settled(verdict, trial, current)
    assert (found.outcome if found else None) is outcome
