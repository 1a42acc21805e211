"""Instructions of Whisper on three arm64 processors, counted by a plugin of QEMU's emulation of single programs.

Each processor takes a minute; booting a board that counts takes eight. ``INSTRUCTIONS=write`` puts what was measured
into user-instructions.json, once a change is explained. One run shows that nothing asks for memory that is written
and executed, so that the unit can forbid it on arm64.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.boot.clients import recorded
from tests.boot.root import CHECKOUT, extracted

pytestmark = pytest.mark.boot

HERE = Path(__file__).parent
KNOWN = HERE / "user-instructions.json"
PROCESSORS = ("cortex-a53", "cortex-a72", "cortex-a76")
"""Of Pi 3 and Zero 2 W, Pi 4, and Pi 5."""
MEASURES = ("whisper-tiny-en, a final of 2.8 s", "whisper-tiny-en, a partial a second", "kiosk-words")
GROWTH = 1.10
PACKAGES = ("python3", "libgomp1", "libstdc++6", "libatomic1")
LIMIT_S = 600


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin, an arm64 system (``root``) with the program installed, and sentence.wav."""
    tools = {"qemu-aarch64": "qemu-user", "gcc": "gcc", "mmdebstrap": "mmdebstrap"}
    if lacking := [package for tool, package in tools.items() if shutil.which(tool) is None]:
        pytest.skip(f"counting needs the Debian packages {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("user")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-Wno-unused-parameter", "-o", folder / "count.so", HERE / "count.c"],
        check=True,
    )
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", extracted("arm64", PACKAGES)], check=True)
    for name in ("lib", "bin"):  # packages are unpacked and not installed
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    options = ("--arch", "arm64", "--python", "3.13", "--package")
    subprocess.run([CHECKOUT / "image" / "install", root, *options], check=True)
    recorded(folder)
    return folder


def emulate(files: Path, processor: str, *options: str, names: tuple[str, ...] = MEASURES) -> str:
    """Run guest/instructions.py; return what it and the emulator print on standard error."""
    root = files / "root"
    command = [
        *("qemu-aarch64", "-cpu", processor, "-L", root, *options),
        *(
            "-E",
            f"PYTHONHOME={root}/usr",
            "-E",
            f"PYTHONPATH={root}/usr/lib/appliance",
            "-E",
            "PYTHONDONTWRITEBYTECODE=1",
        ),
        *("-E", "ORT_DISABLE_TELEMETRY=1", root / "usr/bin/python3.13"),
        *(HERE / "guest" / "instructions.py", files / "sentence.wav", *names),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if "plugin" in done.stderr and "instructions" not in done.stderr:
        pytest.skip(f"this qemu-aarch64 takes no plugins: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("processor", PROCESSORS)
def test_whisper_on_arm64_costs_no_more_than_is_known(files: Path, processor: str) -> None:
    told = emulate(files, processor, "-plugin", str(files / "count.so"))
    measured = {}
    runs = re.findall(r"instructions (\d+)\ninstructions (\d+)\nseconds ([\d.]+)\n", told)
    for name, (begun, ended, seconds) in zip(MEASURES, runs, strict=True):
        measured[name] = round((int(ended) - int(begun)) / 1e6 / float(seconds), 1)
    print(f"\n{processor}: {measured}")
    known: dict[str, dict[str, float]] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    if os.environ.get("INSTRUCTIONS") == "write":
        KNOWN.write_text(json.dumps(known | {processor: measured}, indent=2, sort_keys=True) + "\n")
        return
    grown = {
        name: f"{known[processor][name]} -> {cost}"
        for name, cost in measured.items()
        if cost > known[processor][name] * GROWTH
    }
    assert not grown


def test_whisper_on_arm64_asks_for_no_generated_code(files: Path) -> None:
    """Neither mmap nor mprotect: what is executed comes from files, so ``MemoryDenyWriteExecute=`` can stay."""
    told = emulate(files, "cortex-a72", "-strace", names=MEASURES[:1])
    executable = [line for line in told.splitlines() if "PROT_EXEC" in line and re.search(r"\b(mmap|mprotect)\(", line)]
    assert len(executable) > 20
    assert [line for line in executable if "PROT_WRITE" in line or "mprotect" in line or "MAP_ANON" in line] == []
