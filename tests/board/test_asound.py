"""The ALSA examples: they parse, and the right channel comes out when a file stands in for the card."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "hardware" / "asound"
ALSA = Path("/usr/share/alsa/alsa.conf")

pytestmark = pytest.mark.skipif(
    not shutil.which("arecord") or not ALSA.exists(), reason="arecord is not installed (Debian package alsa-utils)"
)

# file, device, the card's channels, bits and rate, and what becomes of each channel
DEVICES = [
    ("i2s", "i2s_left", 2, 32, 48_000, [10, 0]),
    ("i2s", "i2s_right", 2, 32, 48_000, [0, 10]),
    ("i2s", "i2s_both", 2, 32, 48_000, [5, 5]),
    ("respeaker-2mic", "respeaker", 2, 16, 48_000, [0.5, 0.5]),
    ("respeaker-4mic", "respeaker", 4, 32, 16_000, [1, 0, 0, 0]),
    ("usb-array", "array", 6, 16, 16_000, [1, 0, 0, 0, 0, 0]),
    ("usb-array", "array_raw", 6, 16, 16_000, [0, 1, 0, 0, 0, 0]),
    ("ps-eye", "ps_eye", 4, 16, 16_000, [0.25] * 4),
]  # fmt: skip


def arecord(configuration: Path, *arguments: str) -> str:
    environment = {**os.environ, "ALSA_CONFIG_PATH": f"{ALSA}:{configuration}"}
    command = ["arecord", "-q", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.iterdir()} == {name for name, *_ in DEVICES}


@pytest.mark.parametrize("name", sorted({name for name, *_ in DEVICES}))
def test_an_example_parses_and_lists_its_devices(name: str) -> None:
    listed = arecord(EXAMPLES / f"{name}.conf", "-L").splitlines()
    assert {device for file, device, *_ in DEVICES if file == name} <= set(listed)


@pytest.mark.parametrize(("name", "device", "channels", "bits", "rate", "gains"), DEVICES)
def test_the_right_channel_comes_out(
    tmp_path: Path, name: str, device: str, channels: int, bits: int, rate: int, gains: list[float]
) -> None:
    """Each channel of the stand-in holds a level of its own. Sharing (dsnoop) needs a real card and is left out."""
    levels = np.arange(1, channels + 1) * 100
    (tmp_path / "card").write_bytes(np.tile(levels << (bits - 16), (rate, 1)).astype(f"<i{bits // 8}").tobytes())
    text = (EXAMPLES / f"{name}.conf").read_text()
    text, cards = re.subn(r'pcm "hw:CARD=\w+"', "pcm stand_in", text)
    assert cards == 1
    text = re.sub(r"type dsnoop\s+ipc_key \d+\s+ipc_perm \d+", "type plug", text)
    text = re.sub(r"(period|buffer)_size \d+", "", text)
    stand_in = f'type file slave.pcm {{ type null }} file "/dev/null" infile "{tmp_path / "card"}" format raw'
    configuration = tmp_path / "asound.conf"
    configuration.write_text(f"pcm.stand_in {{ {stand_in} }}\n{text}")
    out = tmp_path / "out"
    shape = ("-f", "S16_LE", "-c", "1", "-t", "raw", "-r", str(rate), "--samples", "4000")
    arecord(configuration, "-D", device, *shape, str(out))
    assert set(np.frombuffer(out.read_bytes(), "<i2").tolist()) == {round(float(levels @ np.array(gains)))}
