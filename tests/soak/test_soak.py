"""Eight streams that come and go, and a microphone: memory, threads, descriptors stay what they were. ``make soak``."""

from __future__ import annotations

import asyncio
import os
import time
import wave
from pathlib import Path

import pytest

from appliance.cli.child import own_daemon
from tests.box import run
from tests.soak.household import Life, Sample, household, settled
from tests.soak.room import Room
from tests.soak.slope import DAY_S, Bound, Slope, grows, slope_within
from tests.soak.visitors import Visitors
from tests.speech import spoken
from tests.virtual_mic import virtual_microphone

MINUTES = float(os.environ.get("SOAK_MINUTES", "15"))
STREAMS = 8
WARM_UP = 0.3
"""Of the time; caches, pools and the allocator's arenas fill in it."""
EVERY_S = 2.0
PARTS = ("daemon", "engine", "reader")
BOUNDS = {
    "memory_mib": Bound(per_day=48, step=0.5),
    "threads": Bound(per_day=10, step=1.6),
    "descriptors": Bound(per_day=10, step=3),
}
"""At this churn, which is a busy day's in ten minutes. Memory: a week on the smallest board, and a few of the
allocator's steps of 132 KiB. Threads and descriptors: one more, which a pool took late, is no slope; the daemon's
descriptors differ by a client that is just coming and a reader that is just starting. What a worker's streams
have comes and goes by several MiB; a leak there that hides in it is found by ``test_rest``."""
CONFIGURATION = """\
[scheduling]
streams = 12
[[microphones]]
name = "desk"
device = "vmic"
"""


@pytest.mark.soak
@pytest.mark.parametrize("model", ["kiosk-words", "whisper-tiny-en"])
def test_nothing_grows(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if model == "whisper-tiny-en" and MINUTES < 2:
        pytest.skip("too short for a decoder that is slower than the kiosk's")
    audio = spoken("start two five enter") + spoken("stop")
    seconds = MINUTES * 60 / (1 if model == "kiosk-words" else 2)
    (tmp_path / "soak.toml").write_text(CONFIGURATION)
    with virtual_microphone(tmp_path) as microphone:
        monkeypatch.setenv("ALSA_CONFIG_PATH", microphone.env["ALSA_CONFIG_PATH"])

        async def work() -> None:
            options = ("--config", str(tmp_path / "soak.toml"), "--model", model)
            async with own_daemon(*options, quiet=True) as child:
                visitors = Visitors(child.url, audio)
                feed = f"ws{child.url[4:]}/v1/microphones/desk"
                room = Room(microphone, _phrase(tmp_path / "phrase.wav"), feed)
                until = time.monotonic() + seconds
                samples = asyncio.create_task(_samples(child.pid, until))
                await asyncio.gather(
                    *(visitors.come(until) for _ in range(STREAMS)), room.live(until), room.listen(until)
                )
                judge(model, await samples, visitors, room)

        run(work, seconds + 180)


def judge(model: str, samples: list[Sample], visitors: Visitors, room: Room) -> None:
    """Print what was seen; fail with all that grew."""
    print(f"\n{model}: {len(samples)} samples in {samples[-1][0]:.0f} s; visits {dict(sorted(visitors.seen.items()))}")
    print(f"microphone: {dict(room.seen)}")
    print(_history(samples))
    grown = []
    for part in PARTS:
        for figure, bound in BOUNDS.items():
            lives = settled(samples, part, figure, after_s=samples[-1][0] * WARM_UP)
            found = slope_within(lives)
            line = _line(part, figure, lives, found)
            print(line)
            if grows(found, bound):
                grown.append(line)
    assert not grown, "\n".join(grown)
    served, unserved = visitors.total("served"), visitors.total("not heard") + visitors.total("cut off")
    assert served > STREAMS
    assert unserved <= served / 10
    assert room.seen["final"] > 0


def _history(samples: list[Sample]) -> str:
    """A row for each minute: memory in MiB, threads and descriptors of each part."""
    rows = ["minute  " + "".join(f"{part:>20}" for part in PARTS)]
    for minute in range(int(samples[-1][0] / 60) + 1):
        _, parts = next(sample for sample in samples if sample[0] >= minute * 60)
        cells = (
            f"{share.memory_mib:11.2f} {share.threads:3} {share.descriptors:4}" if (share := parts.get(part)) else "-"
            for part in PARTS
        )
        rows.append(f"{minute:6}  " + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(rows)


def _line(part: str, figure: str, lives: list[Life], found: Slope) -> str:
    values = [value for _, life in lives for value in life]
    if not values:
        return f"{part:6} {figure:11} never there"
    low, high = found.low * DAY_S, found.high * DAY_S
    return (
        f"{part:6} {figure:11} {min(values):7.1f} to {max(values):7.1f}, {len(lives)} lives; "
        f"{found.per_s * DAY_S:+9.1f} a day ({low:+.1f} to {high:+.1f})"
    )


async def _samples(pid: int, until: float) -> list[Sample]:
    began = time.monotonic()
    samples: list[Sample] = []
    while time.monotonic() < until:
        samples.append((time.monotonic() - began, await asyncio.to_thread(household, pid)))
        await asyncio.sleep(EVERY_S)
    return samples


def _phrase(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(spoken("start two five enter", before_s=0.5, after_s=1.5))
    return path
