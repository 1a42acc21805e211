"""The template's loop in this process, where nothing is really forked, and how it tries models in a child."""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from appliance.core.ports import Capabilities
from appliance.engines.fake import FakeRecognizer
from appliance.engines.registry import EngineError, ModelSpec
from appliance.scheduling import template
from appliance.scheduling.messages import Alive, Broken, Forked, FromTemplate, Loaded, Loading, Plan, Unforked
from tests.box import fake, whisper


class Silent:
    """A voice detector nobody asks."""


def test_a_fork_that_fails_is_answered_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    fates: list[int | OSError] = [
        4_000_001, BlockingIOError(11, "Resource temporarily unavailable"), OSError(12, "No memory"), 4_000_002,
    ]  # fmt: skip
    forks = iter(fates)

    def fork() -> int:
        found = next(forks)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "waitpid", lambda pid, options: (0, 0))
    ours, theirs = socket.socketpair()
    told = io.BytesIO()
    ends = []
    for _ in range(4):
        end, sent = socket.socketpair()
        socket.send_fds(ours, [b"f"], [sent.fileno()])
        sent.close()
        ends.append(end)
    ours.send(b"p")
    ours.shutdown(socket.SHUT_WR)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        template._serve(theirs, Plan(models=()), {}, Silent(), told)  # type: ignore[arg-type]
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
    said = [msgspec.json.decode(line, type=FromTemplate) for line in told.getvalue().splitlines()]
    assert said == [
        Forked(4_000_001),
        Unforked("Resource temporarily unavailable"),
        Unforked("No memory"),
        Forked(4_000_002),
        Alive(),
    ]
    for end in ends:
        assert end.recv(1) == b"", "the template keeps no descriptor"
    for each in (ours, theirs, *ends):
        each.close()


def told(file: io.BytesIO) -> list[FromTemplate]:
    return [msgspec.json.decode(line, type=FromTemplate) for line in file.getvalue().splitlines()]


class Own(FakeRecognizer):
    """A model that each worker must load for itself; ``fate`` is what comes of it."""

    def __init__(self, fate: BaseException | str = "") -> None:
        super().__init__("own")
        self.capabilities: Capabilities = structs.replace(self.capabilities, fork_safe=False)
        self._fate = fate

    def prepare(self) -> None:
        match self._fate:
            case "crash":
                faulthandler.disable()  # what it writes would stand in the test's own output
                ctypes.string_at(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case BaseException():
                raise self._fate


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        (OSError("model.bin is truncated"), "model.bin is truncated"),
        (RuntimeError("invalid weights"), "invalid weights"),
        (RuntimeError(), "RuntimeError"),
        (OSError("x" * 100_000), "xxx"),
        (OSError("\udcff"), r"\?"),
        (MemoryError(), "too little memory"),
        (SystemExit("no such file"), "no such file"),
        ("kill", "signal 9"),
        ("crash", "signal 11"),
    ],
)
def test_try_out_model_that_fails_raises_engine_error(fate: BaseException | str, reason: str) -> None:
    with pytest.raises(EngineError, match=f"the model own cannot be used: .*{reason}.*appliance models verify own"):
        template.try_out(Own(fate))


def children() -> set[str]:
    """Return the children of this thread, which other tests may have left."""
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


def test_try_out_loads_in_a_child_that_is_gone() -> None:
    here = []

    class Watched(Own):
        def prepare(self) -> None:
            here.append(os.getpid())

    before = children()
    template.try_out(Watched())
    assert here == []
    assert children() <= before


SCARCE = """
import resource, sys
from appliance.engines.registry import EngineError, load
from appliance.scheduling.template import try_out
from tests.box import whisper

recognizer = load(whisper())
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 20), -1))
try:
    try_out(recognizer)
except EngineError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
try_out(recognizer)
print("with enough it loads")
"""


def test_try_out_with_too_little_memory_raises_engine_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCARCE], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    first, _, last = done.stdout.strip().rpartition("\n")
    assert "the model whisper-tiny-en cannot be used: " in first, done.stderr
    assert last == "with enough it loads"


def test_load_tells_broken_models_and_keeps_the_others(tmp_path: Path) -> None:
    for path in Path(whisper().path or "").iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").write_bytes(Path(whisper().path or "", "model.bin").read_bytes()[:1_000_000])
    truncated = structs.replace(whisper(), name="truncated", path=str(tmp_path))
    absent = ModelSpec(name="absent", engine="whisper", language="en", path=str(tmp_path / "absent"))
    file = io.BytesIO()
    kept = template._load(Plan(models=(truncated, absent, whisper(), fake())), file)
    said = told(file)
    assert list(kept) == ["whisper-tiny-en", "fake-en"]
    assert [each for each in said if isinstance(each, Loading)] == [
        Loading("truncated"), Loading("absent"), Loading("whisper-tiny-en"), Loading("fake-en"),
    ]  # fmt: skip
    broken = {each.name: each.reason for each in said if isinstance(each, Broken)}
    assert list(broken) == ["truncated", "absent"]
    assert "appliance models verify truncated" in broken["truncated"]
    assert "model.bin is missing" in broken["absent"]
    loaded = [each.capabilities for each in said if isinstance(each, Loaded)]
    assert [(each.model, each.fork_safe) for each in loaded] == [("whisper-tiny-en", False), ("fake-en", True)]
    assert getattr(kept["whisper-tiny-en"], "_decoder") is None  # noqa: B009 - its threads would not survive a fork
