"""Memory protection, tried: each case is a process of its own, because the protection cannot be taken back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.system.protection import refuse_generated_code

LINUX = [int(part) for part in platform.release().split("-")[0].split(".")[:2]] if sys.platform == "linux" else [0]
pytestmark = pytest.mark.skipif(LINUX < [6, 6], reason="PR_MDWE_NO_INHERIT needs Linux 6.6")

TRY = """
import ctypes, mmap, os, subprocess, sys

def refused():
    "Tell whether both ways to memory that was written and is executed are refused."
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        mapped = True
    except PermissionError:
        mapped = False
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    mprotect = ctypes.CDLL(None).mprotect
    gained = mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_EXEC) == 0
    assert mapped == gained
    return not mapped

def refused_in_fork():
    pid = os.fork()
    if pid == 0:
        os._exit(refused())
    return bool(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def refused_in_program():
    return subprocess.check_output([sys.executable, __file__, "child"], text=True).strip() == "True"

if "child" in sys.argv:
    print(refused())
    sys.exit()
"""


def run(folder: Path, script: str, *arguments: str) -> list[str]:
    """Return the words that a process prints which can call the functions of TRY."""
    path = folder / "script.py"
    path.write_text(TRY + script)
    command = [sys.executable, path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_generated_code_is_refused_tells_what_holds(tmp_path):
    script = """
from appliance.system.protection import generated_code_is_refused, refuse_generated_code
print(generated_code_is_refused(), refuse_generated_code(), generated_code_is_refused())
"""
    assert run(tmp_path, script) == ["False", "True", "True"]


def test_refuse_inherited_protects_process_and_children(tmp_path):
    script = """
from appliance.system.protection import refuse_generated_code
print(refused(), refuse_generated_code(), refused(), refused_in_fork(), refused_in_program())
"""
    assert run(tmp_path, script) == ["False", "True", "True", "True", "True"]


def test_refuse_not_inherited_protects_the_process_alone(tmp_path):
    script = """
from appliance.system.protection import refuse_generated_code
print(refuse_generated_code(inherited=False), refused(), refused_in_fork(), refused_in_program(), refused())
"""
    assert run(tmp_path, script) == ["True", "True", "False", "False", "True"]


def test_refuse_when_already_refused_is_protected(tmp_path):
    script = """
from appliance.system.protection import refuse_generated_code
print(refuse_generated_code(), refuse_generated_code(inherited=False), refused(), refused_in_fork())
"""
    assert run(tmp_path, script) == ["True", "True", "True", "True"]


def test_refuse_on_an_old_kernel_is_false(monkeypatch):
    monkeypatch.setattr("appliance.system.protection.SET_MDWE", 12345)
    assert refuse_generated_code() is False


def test_serve_protects_the_daemon_and_not_its_children(tmp_path):
    """The command as it is, with another daemon in it."""
    script = """
import asyncio
import appliance.daemon
from appliance.cli import main

class Probe:
    failed = ""
    selection = type("Selection", (), {"models": ()})
    def __init__(self, *arguments, **named):
        pass
    async def run(self, announce):
        child = await asyncio.create_subprocess_exec(sys.executable, __file__, "child", stdout=subprocess.PIPE)
        print(refused(), (await child.communicate())[0].decode())

appliance.daemon.Daemon = Probe
main()
"""
    assert run(tmp_path, script, "serve") == ["True", "False"]


X86 = platform.machine() == "x86_64"


@pytest.mark.parametrize(("engine", "refused"), [("fake", "True"), ("whisper", "False" if X86 else "True")])
def test_template_allows_code_only_where_an_engine_needs_it(tmp_path, engine, refused):
    script = f"""
import msgspec
import appliance.scheduling.template as template
from appliance.engines.registry import ModelSpec
from appliance.scheduling.messages import Plan

def load(plan, told):
    print(refused(), file=sys.stderr, flush=True)
    os._exit(0)

import socket
template._load = load
ours, theirs = socket.socketpair()
plan = Plan(models=(ModelSpec(name="any", engine={engine!r}, language="en"),), detector="energy")
sys.argv = ["template", str(theirs.detach()), msgspec.json.encode(plan).decode()]
os.dup2(1, 2)
template.main()
"""
    assert run(tmp_path, script) == [refused]


@pytest.mark.skipif(not X86, reason="Whisper generates code on x86-64 only")
def test_template_names_a_model_that_may_not_generate_code(tmp_path):
    """As under a unit from before Whisper: the model is broken at the start, not at the first words."""
    script = """
import io, msgspec
from appliance.system.protection import refuse_generated_code
from appliance.engines.registry import ModelSpec
from appliance.scheduling.messages import Plan
from appliance.scheduling.template import _load
refuse_generated_code()
told = io.BytesIO()
spec = ModelSpec(name="any", engine="whisper", language="en", path="/nowhere")
assert _load(Plan(models=(spec,), detector="energy"), told) == {}
print(told.getvalue().decode())
"""
    assert "MemoryDenyWriteExecute=no" in " ".join(run(tmp_path, script))
