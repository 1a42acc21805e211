"""The template's loop in this process; nothing is really forked."""

from __future__ import annotations

import io
import os
import signal
import socket

import msgspec
import pytest

from appliance.scheduling import template
from appliance.scheduling.messages import Alive, Forked, FromTemplate, Plan, Unforked


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
