import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Changes, Encoding, Endpointing, Mode, SessionOptions
from appliance.core.problems import Kind, Problem
from appliance.core.segment import Origin
from appliance.scheduling.messages import (
    Audio,
    Channel,
    Close,
    Commit,
    Configure,
    Ease,
    Failed,
    Finish,
    Gone,
    Measure,
    Measured,
    Open,
    Ping,
    Pong,
    Report,
    ToDaemon,
    ToWorker,
    packed,
)
from tests.sound import pieces

WORDS = (Word("one", 0, 4800, 0.25), Word("ऐक", 4800, 9600, 1.0))
ASKED = SessionOptions(
    audio=AudioFormat(Encoding.MULAW, 8_000, 2),
    languages=("hi", "en"),
    endpointing=Endpointing(mode=Mode.MANUAL, threshold=0.25),
    phrases=("on", "off"),
    numerals=True,
)
TO_WORKER = [
    Open(1, "kiosk", SessionOptions(), Origin()),
    Open(2**40, "a", ASKED, Origin(123_456, 7)),
    Audio(1, 1, b""),
    Audio(1, 2, bytes(range(256)) * 300),
    Commit(1, 3),
    Configure(1, 4, Changes()),
    Configure(1, 5, Changes(endpointing=Endpointing(longest_ms=1000), phrases=())),
    Finish(1, 6),
    Close(1),
    Measure("kiosk", bytes(1000), 1.5, 8),
    Ease(0),
    Ping(),
]
TO_DAEMON = [
    Report(1, 0, 0, Origin(), ()),
    Report(
        1,
        2,
        3,
        Origin(4, 5, 6, 7),
        (
            SpeechStarted(16),
            Partial(0, "one", WORDS, 1, 16, 32),
            SpeechEnded(64),
            Final(0, "one ऐक", WORDS, 0.5, "hi", 16, 64, Cause.LONGEST),
            Committed(64, True),
            Closed(64),
            Closed(64, Problem(Kind.ENGINE_FAILED, "twice")),
        ),
    ),
    Failed(1, Problem(Kind.BAD_OPTION)),
    Gone(1),
    Measured("kiosk", 0.25, 0.5, 6.0, "one ऐक"),
    Pong(1.25),
]


@pytest.mark.parametrize(("kind", "messages"), [(ToWorker, TO_WORKER), (ToDaemon, TO_DAEMON)])
@given(data=st.data())
def test_messages_arrive_as_they_were_however_they_were_cut(kind, messages, data):
    sent = data.draw(st.lists(st.sampled_from(messages), max_size=8))
    stream = b"".join(map(packed, sent))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    channel = Channel(kind)
    assert [message for piece in pieces(stream, cuts) for message in channel.feed(piece)] == sent


@pytest.mark.parametrize(("kind", "messages"), [(ToWorker, TO_WORKER), (ToDaemon, TO_DAEMON)])
def test_byte_by_byte(kind, messages):
    channel, got = Channel(kind), []
    short = [message for message in messages if len(packed(message)) < 2_000]
    for byte in b"".join(map(packed, short)):
        got += channel.feed(bytes([byte]))
    assert got == short


def test_a_message_comes_when_its_last_byte_does():
    channel, data = Channel(ToWorker), packed(Commit(1, 2))
    assert list(channel.feed(data[:-1])) == []
    assert list(channel.feed(data[-1:])) == [Commit(1, 2)]
    assert list(channel.feed(b"")) == []


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", msgspec.msgpack.encode({"type": "unheard"}), msgspec.msgpack.encode({"type": "commit"})]
)
def test_what_is_no_message_is_an_error(body):
    with pytest.raises(msgspec.DecodeError):
        list(Channel(ToWorker).feed(len(body).to_bytes(4, "little") + body))
