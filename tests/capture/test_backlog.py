from __future__ import annotations

from appliance.capture.backlog import Backlog


def test_blocks_come_out_in_order() -> None:
    backlog = Backlog(3)
    for block in (b"a", b"b"):
        backlog.put(block, overflowed=False)
    assert [backlog.take(0), backlog.take(0), backlog.take(0)] == [(0, b"a"), (0, b"b"), (0, None)]


def test_the_oldest_is_dropped_and_counted_once() -> None:
    backlog = Backlog(2)
    for block in (b"a", b"b", b"c", b"d"):
        backlog.put(block, overflowed=False)
    assert [backlog.take(0), backlog.take(0)] == [(2, b"c"), (0, b"d")]


def test_what_the_card_lost_is_counted() -> None:
    backlog = Backlog(2)
    backlog.put(b"a", overflowed=True)
    assert backlog.take(0) == (1, b"a")
