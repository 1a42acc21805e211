import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.attempts import ADDRESSES, DELAYS_S, WAITING, WINDOW_S, Attempts


@pytest.mark.parametrize(
    ("failures", "at", "delay"),
    [
        ([], 0, 0),
        ([0], 0, 0),
        ([0, 0, 0], 0, 0),
        ([0, 0, 0, 0], 0, 0.5),
        ([0] * 5, 0, 1),
        ([0] * 6, 0, 2),
        ([0] * 7, 0, 4),
        ([0] * 8, 0, 5),
        ([0] * 5000, 0, 5),
        ([0, 1, 2, 599], 599.9, 0.5),
        ([0, 1, 2, 599], 600, 0),  # the window begins with the first failure
        ([0, 1, 2, 599, 600], 600, 0),
        ([0, 1, 2, 600, 600, 600], 600, 0),
        ([0, 1, 2, 600, 600, 600, 601], 601, 0.5),
        ([1000, 1000, 1000, 1000], 999, 0),  # the clock was set back
        ([1000, 1000, 1000, 10], 10, 0),
    ],
)
def test_delays(failures, at, delay):
    attempts = Attempts()
    for now in failures:
        attempts.failed("here", now)
    assert attempts.delay("here", at) == delay
    assert attempts.delay("elsewhere", at) == 0


def test_the_oldest_window_is_forgotten_first():
    attempts = Attempts()
    for address in ["a", "b", *range(ADDRESSES - 2)]:
        for _ in range(4):
            attempts.failed(address, 0)
    for _ in range(4):
        attempts.failed("a", WINDOW_S)  # a new window: now the youngest
    attempts.failed("one more", WINDOW_S)
    assert attempts.delay("a", WINDOW_S) == 0.5
    assert attempts.delay("b", 1) == 0
    assert attempts.delay(0, 1) == 0.5


def test_a_crowd_is_more_than_may_wait():
    attempts = Attempts()
    for _ in range(WAITING):
        attempts.hold("here")
    assert not attempts.crowded("here")
    attempts.hold("here")
    assert attempts.crowded("here")
    assert not attempts.crowded("elsewhere")
    attempts.let_go("here")
    assert not attempts.crowded("here")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["fail", "hold", "let go"]), st.floats(0, 400)), max_size=80
    )
)
def test_it_agrees_with_a_list_of_all_that_happened(steps):
    attempts, now, windows, held = Attempts(), 0.0, {}, []
    for address, what, passed in steps:
        now += passed
        if what == "fail":
            attempts.failed(address, now)
            window = windows.get(address, [])
            windows[address] = [*window, now] if window and now - window[0] < WINDOW_S else [now]
        elif what == "hold":
            attempts.hold(address)
            held.append(address)
        elif address in held:
            attempts.let_go(address)
            held.remove(address)
        for one in "abc":
            window = windows.get(one, [])
            count = len(window) if window and now - window[0] < WINDOW_S else 0
            assert attempts.delay(one, now) == DELAYS_S[min(count, len(DELAYS_S) - 1)]
            assert attempts.crowded(one) == (held.count(one) > WAITING)
