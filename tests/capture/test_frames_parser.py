"""The wire between reader and supervisor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capture.wire import HEADER, LARGEST, Failed, Message, Opened, Overrun, Parser, State, WireError, encode

messages = st.one_of(
    st.binary(max_size=2_000),
    st.builds(Opened, st.text(), st.integers(1, 400_000), st.integers(1, 128)),
    st.builds(Overrun, st.integers(0, 1 << 40)),
    st.builds(Failed, st.sampled_from(State), st.text()),
)


@given(st.lists(messages), st.lists(st.integers(1, 3_000)))
def test_any_chunking_gives_the_same_messages(sent: list[Message], sizes: list[int]) -> None:
    stream = b"".join(map(encode, sent))
    parser, heard = Parser(), []
    for size in [*sizes, len(stream)]:
        heard += parser.feed(stream[:size])
        stream = stream[size:]
    assert heard == sent


def test_byte_by_byte() -> None:
    sent: list[Message] = [Opened("card", 16_000, 1), b"\x01\x02", b"", Overrun(3), Failed(State.LOST, "gone")]
    parser = Parser()
    heard = [message for byte in b"".join(map(encode, sent)) for message in parser.feed(bytes([byte]))]
    assert heard == sent


@pytest.mark.parametrize(
    "stream",
    [
        HEADER.pack(0, 0),
        HEADER.pack(9, 1) + b"x",
        HEADER.pack(2, LARGEST + 1),
        HEADER.pack(1, 2) + b"{}",
        HEADER.pack(3, 3) + b"abc",
        b'Traceback (most recent call last):\n  File "x"\n',
    ],
)
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    with pytest.raises(WireError):
        Parser().feed(stream)
