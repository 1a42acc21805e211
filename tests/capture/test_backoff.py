from __future__ import annotations

import pytest

from appliance.capture.backoff import Backoff


def test_grows_to_the_longest_and_stays() -> None:
    backoff = Backoff()
    assert [backoff.next() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_reset_begins_again() -> None:
    backoff = Backoff(first=1, longest=3, factor=3)
    assert [backoff.next(), backoff.next(), backoff.next()] == [1, 3, 3]
    backoff.reset()
    assert backoff.next() == 1


@pytest.mark.parametrize("values", [(0, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_a_delay_that_does_not_grow_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="growing"):
        Backoff(*values)
