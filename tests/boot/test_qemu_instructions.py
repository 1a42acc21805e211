"""What a second of audio costs on arm64, in instructions: a figure that grows by a tenth has to be explained.

``INSTRUCTIONS=write`` puts what was measured into instructions.json, once it is explained.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.boot.guest_board import HERE
from tests.boot.guest_image import build
from tests.boot.qemu import Guest

pytestmark = pytest.mark.boot

KNOWN = Path(__file__).with_name("instructions.json")
GROWTH = 1.10
SPREAD, NOISE = 0.02, 0.01
"""Between two runs of the same code: a share of the cost, or so many million instructions where that is less."""
COMMAND = f"PYTHONPATH=/usr/lib/appliance python3 {HERE}/instructions.py {HERE}/sentence.wav"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, float], dict[str, float]]:
    """Two runs, each in a process of its own: measure -> millions of instructions per second of audio."""
    folder = tmp_path_factory.mktemp("counted")
    guest = Guest(build(folder), folder, counted=True, kernel="systemd.mask=appliance.service")
    try:
        guest.wait_until_up()
        first, second = (json.loads(guest.run(COMMAND, 600).splitlines()[-1]) for _ in range(2))
    finally:
        guest.pull_the_plug()
        (folder / "root.ext4").unlink()
    print("\n" + "".join(f"{name:24} {cost:8.2f} {second[name]:8.2f}\n" for name, cost in first.items()))
    if os.environ.get("INSTRUCTIONS") == "write":
        KNOWN.write_text(json.dumps(first, indent=2) + "\n")
    return first, second


def test_nothing_costs_a_tenth_more_than_is_known(counted: tuple[dict[str, float], dict[str, float]]) -> None:
    known: dict[str, float] = json.loads(KNOWN.read_text())
    assert counted[0].keys() == known.keys(), "INSTRUCTIONS=write takes what is new"
    grown = {name: f"{known[name]} -> {cost}" for name, cost in counted[0].items() if cost > known[name] * GROWTH}
    assert not grown


def test_two_runs_are_alike(counted: tuple[dict[str, float], dict[str, float]]) -> None:
    """Else the figures would mean nothing."""
    unlike = {
        name: (one, other)
        for name, one, other in ((name, one, counted[1][name]) for name, one in counted[0].items())
        if abs(other - one) > max(SPREAD * one, NOISE)
    }
    assert not unlike
