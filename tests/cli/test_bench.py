"""``appliance bench`` as a program: it measures a real daemon, and says what it does not know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.material import shared

BENCH = [sys.executable, "-m", "appliance", "bench"]


def test_silence_is_measured() -> None:
    command = [*BENCH, "silence", "--seconds", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["aim"] == "<= 3"
    assert 0 < row["value"] < 100
    assert done.returncode == (0 if row["good"] else 1)


def test_the_gate_is_measured_on_labelled_recordings() -> None:
    command = [*BENCH, "voice", "--speech", str(shared("speech")), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    rows = {row["what"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}
    assert rows["speech that reaches the recogniser, built"] > 98
    assert rows["voiced frames, built: precision"] > 94


def test_an_unknown_measure_is_bad_usage() -> None:
    done = subprocess.run([*BENCH, "speed"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "no measure speed" in done.stderr


def test_bench_voice_without_labels_says_what_it_needs(tmp_path: Path) -> None:
    """Alone it fails; as one of all measures it is passed over."""
    command = [*BENCH, "voice", "--speech", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not measured: needs recordings with labels" in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "voice: not measured: needs recordings with labels" in done.stderr
