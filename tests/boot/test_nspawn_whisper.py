"""The embedded Whisper model in a booted container, under everything that the unit forbids."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.clients import KIOSK, all_said, understood
from tests.boot.conftest import Boot, Box, booted
from tests.boot.test_nspawn_streams import template, workers

pytestmark = pytest.mark.boot

NAME = "whisper-tiny-en"
STREAMS = 3
MEMORY_MIB = 700
"""Of the whole service with one worker that decodes, page cache of the model included."""


@pytest.fixture(scope="module")
def box(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A container as it is installed: the default model, whose cost is measured at the first start."""
    with booted(root, tmp_path_factory.mktemp("box")) as box:
        box.machine.ready(180)
        yield box


def test_default_model_writes_what_clients_say(box: Box) -> None:
    """Several at once; each decodes in a worker, which generates code on x86-64."""

    async def speak() -> list[str]:
        keys = [box.key(f"client-{number}") for number in range(STREAMS)]
        return await asyncio.gather(*(all_said(box.url("ws"), key) for key in keys))

    assert NAME in box.machine.journal()
    said = asyncio.run(speak())
    assert [text for text in said if not understood(text)] == []
    assert "primitive" not in box.machine.journal()


def test_self_test_passes_with_the_default_model(box: Box) -> None:
    box.machine.wait_for(lambda: box.machine.run("ls", "/run/appliance/selftest.key", check=False), "the key")
    box.machine.run("systemctl", "start", "appliance-selftest.service", limit_s=120)
    assert box.machine.show("appliance-selftest.service")["Result"] == "success"


def test_template_has_one_thread_and_the_filter(box: Box) -> None:
    """CTranslate2 starts threads when it loads a model, so only workers load it. All keep the seccomp filter."""

    def status(pid: int) -> dict[str, str]:
        return dict(line.split(":\t", 1) for line in box.machine.run("cat", f"/proc/{pid}/status").splitlines())

    assert status(template(box))["Threads"] == "1"
    found = [status(pid) for pid in workers(box)]
    assert found
    assert max(int(each["Threads"]) for each in found) > 1
    assert {each["Seccomp"] for each in found} == {"2"}


def test_service_stays_within_its_memory(box: Box) -> None:
    told = box.machine.run("systemctl", "show", "appliance", "--property=MemoryCurrent", "--value")
    if not told.isdigit():
        pytest.skip("this container counts no memory")
    assert int(told) >> 20 < MEMORY_MIB


def test_daemon_says_that_it_refuses_generated_code(box: Box) -> None:
    """``tests/system`` tries the protection; here only that the unit does not keep the daemon from asking for it."""
    assert "does not keep the daemon from executing generated code" not in box.machine.journal()


def test_exposure_is_what_the_pages_state(box: Box) -> None:
    told = box.machine.run("systemd-analyze", "security", "--no-pager", "appliance.service")
    exposure = re.search(r"exposure level for \S+ ([0-9.]+)", told)
    assert exposure
    assert float(exposure[1]) <= 1.5
    assert "MemoryDenyWriteExecute=no" in box.machine.run("systemctl", "cat", "appliance.service")


def test_killed_worker_is_replaced_and_loads_the_model_again(boot: Boot) -> None:
    with boot() as box:
        facts = box.machine.ready(180)
        key = box.key()

        def kill() -> None:
            for pid in workers(box):
                box.machine.kill(pid, signal.SIGKILL)

        assert understood(asyncio.run(all_said(box.url("ws"), key, kill)))
        after = box.machine.show()
        assert (after["MainPID"], after["NRestarts"]) == (facts["MainPID"], "0")


def test_unit_that_forbids_generated_code_has_no_model_on_amd64(boot: Boot) -> None:
    """As with an update that is newer than the package: the reason is in the status, and other models still run."""
    with boot(drop_in="MemoryDenyWriteExecute=yes") as box:
        facts = box.machine.until(StatusText="no model: the model whisper-tiny-en cannot be used")
        assert "MemoryDenyWriteExecute=no" in facts["StatusText"]
        box.machine.write("/etc/appliance/appliance.toml", box.configuration + KIOSK)
        box.machine.run("systemctl", "restart", "appliance.service", limit_s=120)
        box.machine.ready(180)
        assert understood(asyncio.run(all_said(box.url("ws"), box.key())))
