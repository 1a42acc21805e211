"""What systemd is told, read from a real socket."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

import pytest

from appliance.board.notify import Supervisor
from tests.board.sockets import listening, received


@pytest.mark.parametrize("name", ["{tmp_path}/notify", "@appliance-test-{pid}"])
def test_every_message(tmp_path: Path, name: str) -> None:
    address = name.format(tmp_path=tmp_path, pid=os.getpid())
    with listening(address) as receiver:
        supervisor = Supervisor({"NOTIFY_SOCKET": address})
        supervisor.status("loading")
        supervisor.extend(2.5)
        supervisor.ready("ready: kiosk-words")
        supervisor.alive()
        supervisor.stopping("draining: 3 sessions")
        assert received(receiver) == [
            b"STATUS=loading",
            b"EXTEND_TIMEOUT_USEC=2500000",
            b"READY=1\nSTATUS=ready: kiosk-words",
            b"WATCHDOG=1",
            b"STOPPING=1\nSTATUS=draining: 3 sessions",
        ]


def test_reloading_says_when(tmp_path: Path) -> None:
    """Systemd demands the monotonic time, and a second READY=1 even if the status has not changed."""
    with listening(f"{tmp_path}/notify") as receiver:
        supervisor = Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        before = time.monotonic_ns() // 1000
        supervisor.ready("ready")
        supervisor.reloading()
        supervisor.ready("ready")
        first, reloading, again = received(receiver)
        found = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
        assert found
        assert before <= int(found[1]) <= time.monotonic_ns() // 1000
        assert first == again == b"READY=1\nSTATUS=ready"


def test_a_status_is_one_line_and_sent_once(tmp_path: Path) -> None:
    with listening(f"{tmp_path}/notify") as receiver:
        supervisor = Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        for text in ("2 streams", "2 streams", "2\nstreams", "3 streams", "2 streams"):
            supervisor.status(text)
        assert received(receiver) == [b"STATUS=2 streams", b"STATUS=3 streams", b"STATUS=2 streams"]


def test_signs_of_life_are_all_sent(tmp_path: Path) -> None:
    with listening(f"{tmp_path}/notify") as receiver:
        supervisor = Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        supervisor.alive()
        supervisor.alive()
        assert received(receiver) == [b"WATCHDOG=1"] * 2


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its queue fills; that is told once, and when it reads again it is told again."""
    with listening(f"{tmp_path}/notify") as receiver, caplog.at_level(logging.WARNING):
        supervisor = Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        for number in range(5000):
            supervisor.status(f"{number} streams")
        taken = received(receiver)
        assert 0 < len(taken) < 5000
        assert len(caplog.records) == 1
        supervisor.status("4999 streams")
        assert received(receiver) == [b"STATUS=4999 streams"]


@pytest.mark.parametrize("address", ["{tmp_path}/nobody", "@nobody-{pid}", "vsock:2:1234", "a\0b", "/" + "x" * 200])
def test_a_socket_that_is_none(tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": address.format(tmp_path=tmp_path, pid=os.getpid())})
    with caplog.at_level(logging.WARNING):
        supervisor.ready("ready")
        supervisor.alive()
    assert len(caplog.records) == 1


def test_without_systemd_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor({})
    supervisor.ready("ready")
    supervisor.alive()
    assert not supervisor.present
    assert supervisor.watchdog_s is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # meant for the parent
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_meant_for_us(environment: dict[str, str], seconds: float | None) -> None:
    assert Supervisor(environment).watchdog_s == seconds


def test_a_long_status_is_cut_so_that_systemd_takes_the_message(tmp_path: Path) -> None:
    """It reads 4,096 bytes and drops what is longer, with the READY in it."""
    with listening(f"{tmp_path}/notify") as receiver:
        supervisor = Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        supervisor.ready("𝄞" * 5000)
        supervisor.status("𝄞" * 5000)
        (message,) = received(receiver)
        assert len(message) <= 4096
        assert message.decode() == f"READY=1\nSTATUS={'𝄞' * 999}…"
