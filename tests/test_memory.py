"""What the C library is told about memory, seen in a process of its own: it lasts as long as that."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
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
library.malloc(1 << 17)
print(library.mallinfo2().mapped - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize(("told", "mapped"), [("told", 1), ("by itself", 0)])
def test_a_large_buffer_gets_pages_of_its_own_also_after_a_larger_one_was_freed(told: str, mapped: int) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, told], capture_output=True, text=True, timeout=30, check=True)
    assert int(done.stdout) == mapped
