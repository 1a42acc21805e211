"""How many connections are taken, and by what they are counted."""

from __future__ import annotations

import pytest

from appliance.server.sockets import QUIET_S, Sockets


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("fd00::1", "fd00::ffff:1", True),
        ("fd00::1", "fd00:0:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("::1", "::1", True),
        ("192.168.7.2", "192.168.7.2", False),
    ],
)
def test_take_two_addresses_counted_together_or_not(one: str, other: str, together: bool) -> None:
    sockets = Sockets(10, 1, ("192.168.7.0/24",))
    assert sockets.take(one) is not None
    assert (sockets.take(other) is None) is together


def test_take_after_leaving_room_again() -> None:
    sockets = Sockets(1, 1)
    leave = sockets.take("10.0.0.1")
    assert leave is not None
    assert sockets.take("10.0.0.2") is None
    leave()
    assert sockets.take("10.0.0.2") is not None
    assert sockets.refused == 1


def test_take_refused_often_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    sockets = Sockets(1, 1, clock=lambda: now)
    assert sockets.take("10.0.0.1") is not None
    for _ in range(100):
        assert sockets.take("10.0.0.2") is None
    assert len(caplog.records) == 1
    now = QUIET_S
    assert sockets.take("10.0.0.2") is None
    assert "the 101. since" in caplog.records[-1].message
