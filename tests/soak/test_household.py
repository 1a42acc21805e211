"""Whose memory is whose. Runs with the fast tests."""

from __future__ import annotations

import os
import subprocess
import threading

from tests.soak.household import Share, household, settled


def test_a_process_alone() -> None:
    hold = threading.Event()
    before = household(os.getpid())
    assert before.keys() == {"daemon"}
    thread = threading.Thread(target=hold.wait)
    thread.start()
    pipe = os.pipe()
    after = household(os.getpid())["daemon"]
    hold.set()
    thread.join()
    for end in pipe:
        os.close(end)
    assert after.pids == (os.getpid(),)
    assert after.threads == before["daemon"].threads + 1
    assert after.descriptors == before["daemon"].descriptors + 2
    assert after.memory_mib > 5


def test_a_process_that_is_gone_has_no_share() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert household(child.pid) == {}


def test_lives_are_told_apart_and_their_beginnings_left_out() -> None:
    def share(pid: int, threads: int) -> Share:
        return Share((pid,), 20.0, threads, 8)

    samples = [(6.0 * number, {"reader": share(100 + number // 10, number)}) for number in range(30)]
    samples.insert(25, (147.0, {}))
    lives = settled(samples, "reader", "threads", after_s=48)
    assert lives == [
        ([48.0, 54.0], [8.0, 9.0]),
        ([90.0, 96.0, 102.0, 108.0, 114.0], [15.0, 16.0, 17.0, 18.0, 19.0]),
        ([150.0, 156.0, 162.0, 168.0, 174.0], [25.0, 26.0, 27.0, 28.0, 29.0]),
    ]
    assert settled(samples, "template", "threads", after_s=0) == []
