"""The fences of the decoder process, tried from inside by code that does what an intruder would do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.media.recording import Recording
from tests.media.files import written
from tests.sound import speech

PROGRAM = """
import ctypes, os, resource, socket, sys
from appliance.media import confinement
fence = sys.argv[1]
library = confinement._seccomp_library()
os.nice(0)
if fence == "all":
    held = confinement.confine(60)
elif fence == "seccomp":
    confinement._no_new_privileges()
    held = confinement._seccomp(library)
elif fence == "limits":
    held = confinement._limits(1 << 32, 60)
else:
    held = confinement._landlock()
if not held:
    print("absent")
    os._exit(0)
try:
    {attempt}
except (OSError, MemoryError) as error:
    os.write(1, b"denied")
else:
    os.write(1, b"possible")
os._exit(0)
"""
ATTEMPTS = {
    "read a file": "open('/etc/hostname')",
    "write a file": "open('/tmp/written-by-the-decoder', 'w')",
    "open a socket": "socket.socket()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "fork": "os.fork() or os._exit(0)",
    "take memory": "bytearray(1 << 30)",
    "kill a process": "os.kill(os.getppid(), 0)",
}


def tried(fence: str, attempt: str) -> str:
    program = PROGRAM.replace("{attempt}", ATTEMPTS[attempt])
    done = subprocess.run([sys.executable, "-c", program, fence], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "absent":
        pytest.skip(f"{fence} is not available here")
    return done.stdout.strip()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_confinement_whole_denies_everything(attempt: str) -> None:
    assert tried("all", attempt) == "denied"


@pytest.mark.parametrize(
    ("fence", "attempt"),
    [
        ("limits", "read a file"),
        ("limits", "write a file"),
        ("limits", "open a socket"),
        ("landlock", "read a file"),
        ("landlock", "write a file"),
        ("landlock", "run a program"),
        ("seccomp", "read a file"),
        ("seccomp", "open a socket"),
        ("seccomp", "run a program"),
        ("seccomp", "fork"),
        ("seccomp", "kill a process"),
    ],
)
def test_confinement_each_fence_holds_alone(fence: str, attempt: str) -> None:
    assert tried(fence, attempt) == "denied"


def test_confinement_of_a_recording_has_limits(tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(written(speech(100, 9_000)))
    with Recording(tmp_path / "recording") as recording:
        process = Path(f"/proc/{recording._decoder.pid}")
        limits = dict(line.rsplit(maxsplit=3)[:2] for line in (process / "limits").read_text().splitlines()[1:] if line)
        status = (process / "status").read_text()
        assert {"no-new-privileges", "limits"} <= set(recording.opened.fences)
    assert limits["Max open files"] == "0"
    assert limits["Max file size"] == "0"
    assert "NoNewPrivs:\t1" in status
    assert "Threads:\t1" in status
