import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.frames import Framer


@given(st.integers(1, 20), st.lists(st.integers(0, 50), max_size=12))
def test_any_chunking_in_exact_frames_out(size, lengths):
    framer, at, frames = Framer(size), 0, []
    for length in lengths:
        got = framer.push(np.arange(at, at + length).astype(np.int16))
        assert got.shape == (len(got), size)
        frames += list(got)
        at += length
    rest = framer.take()
    assert len(rest) < size
    assert np.concatenate([*frames, rest]).tolist() == list(range(at))


def test_what_was_taken_is_gone():
    framer = Framer(4)
    framer.push(np.array([1, 2, 3], np.int16))
    assert framer.take().tolist() == [1, 2, 3]
    assert framer.take().tolist() == []
    assert framer.push(np.array([4, 5, 6, 7], np.int16)).tolist() == [[4, 5, 6, 7]]


@pytest.mark.parametrize("length", [0, 3])
def test_no_frame_is_an_empty_table(length):
    assert Framer(4).push(np.zeros(length, np.int16)).shape == (0, 4)
