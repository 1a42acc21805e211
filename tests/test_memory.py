"""What the C library and the collector are told about memory, each in a process of its own, for it lasts as long."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import memory

MAPPED = """
import ctypes, sys
from appliance.memory import give_back

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena blocks small mapped a b c d e f".split()]

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
library.mallinfo2.restype = Info
if sys.argv[1] == "told":
    give_back()
library.free(library.malloc(1 << 18))  # as the event loop does with each buffer it reads into
before = library.mallinfo2().mapped
for _ in range(8):  # the first may find a place that is free already
    library.malloc(1 << 17)
print(library.mallinfo2().mapped > before)
"""

KEPT = """
import gc, os, re, sys, tempfile
from appliance.memory import settle

def free():
    "How many tuples Python keeps for later use."
    with tempfile.TemporaryFile() as file:
        was = os.dup(2)
        os.dup2(file.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(was, 2)
        file.seek(0)
        return sum(map(int, re.findall(rb"(\\d+) free \\d+-sized PyTuple", file.read())))

stays = [[] for _ in range(200_000)]
if sys.argv[1] == "settled":
    settle()
else:
    gc.collect()
    gc.freeze()
most = 0
for _ in range(200):
    for _ in range(10):
        for length in range(1, 10):
            tuple(number for number in range(length))
    most = max(most, free())
print(most)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize(("told", "mapped"), [("told", "True"), ("by itself", "False")])
def test_a_large_buffer_gets_pages_of_its_own_also_after_a_larger_one_was_freed(told: str, mapped: str) -> None:
    done = subprocess.run([sys.executable, "-c", MAPPED, told], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == mapped


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="a collector that works in another way")
def test_what_python_itself_keeps_is_given_back_before_it_adds_up() -> None:
    def most(how: str) -> int:
        command = [sys.executable, "-c", KEPT, how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return int(done.stdout)

    assert most("settled") < 2_500
    assert most("by itself") > 10_000


OWN = Path("/proc/self/cgroup")


def groups(root: Path, limits: tuple[str | None, ...]) -> Path:
    """A fake hierarchy down to this process's own group; limits from the root on, the last one is its own."""
    own = OWN.read_text().rpartition("::")[2].strip().lstrip("/") or "."
    folders = [root / own, *(root / own).parents]
    folders = folders[: folders.index(root) + 1]
    folders[0].mkdir(parents=True, exist_ok=True)
    for folder, limit in zip(folders, reversed(limits), strict=False):
        if limit is not None:
            (folder / "memory.max").write_text(limit)
    return root


@pytest.mark.parametrize(
    ("limits", "mib"),
    [
        (("268435456\n",), 256),
        (("max\n",), None),
        (("nonsense",), None),
        ((None,), None),
        (("1" + "0" * 20,), None),  # more than there is
    ],
)
def test_memory_mib_of_a_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: tuple[str | None, ...], mib: int | None
) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "none")
    machine = memory.memory_mib()
    assert machine > 256
    monkeypatch.setattr(memory, "CGROUP", groups(tmp_path, limits))
    assert memory.memory_mib() == (mib or machine)


def test_memory_mib_takes_the_tightest_group_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a limit in a slice with one."""
    monkeypatch.setattr(memory, "CGROUP", groups(tmp_path / "cgroup", ("max",)))
    (tmp_path / "cgroup" / "memory.max").write_text("134217728")
    assert memory.memory_mib() == 128
