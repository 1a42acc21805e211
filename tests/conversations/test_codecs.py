import pytest

from appliance.dialects import DIALECTS
from tests.conversations import HERE, like, of, parse
from tests.conversations.codec import Player

ALL = sorted(HERE.glob("*/*.txt"))


@pytest.mark.parametrize("path", ALL, ids=[f"{path.parent.name}/{path.stem}" for path in ALL])
def test_conversations(path):
    Player().play(path.read_text())


def test_every_conversation_belongs_to_a_dialect():
    assert {path.parent.name for path in ALL} <= {dialect.name for dialect in DIALECTS}
    assert of("gnani")


OPENED = """\
> GET /stt/v3/stream
> x-api-key-id: any
< {"type": "connected", "message": "STT service ready", "request_id": "<text>", "timestamp": "<time>",
  "config": {"sample_rate": 16000, "chunk_size": 512}}
"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello", "line 1 is not understood"),
        ("# only a comment\n?", "line 2 is not understood"),
        ("> GET /stt/v3/stream\n> x-api-key-id: any", "at the end nobody expected"),
        (OPENED.replace('"<time>"', '"<uuid>"'), "line 3: the server says"),
        (OPENED.replace("16000", "8000"), "line 3: the server says"),
        (OPENED.replace('"type"', '"x": 1, "type"'), "line 3: the server says"),
        (OPENED + "< close 1000", "line 5: the server says nothing"),
        (OPENED + "> audio 4", "at the end nobody expected"),
        (OPENED + "> audio 4\n= Hear 5", "line 6: 4 bytes are heard"),
        (OPENED + "> audio 4\n= Commit", "line 6: there is Hear"),
        (OPENED + '> audio 4\n! {"type": "speech_started", "at": 0}', "line 6: nobody expected"),
        (OPENED + "! problem too_long\n< close 1008", "line 6: there is Send"),
        (OPENED + '! {"type": "closed", "audio": 0}\n< close 1001', "line 6: the server closes with 1000"),
        ("> audio 4", "line 1: the conversation has not begun"),
    ],
)
def test_a_conversation_that_does_not_hold_is_told(text, complaint):
    with pytest.raises((AssertionError, ValueError), match=complaint):
        Player().play(text)


def test_lines():
    got = [(line.number, line.side.value, line.verb, line.rest) for line in parse('# a\n> GET /x\n\n< {"a":\n  1}\n')]
    assert got == [(2, ">", "GET", "/x"), (4, "<", "", '{"a": 1}')]


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        ("1", 1, False),
        (None, None, True),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        ("2025-01-02T03:04:05.678Z", "<time>", True),
        ("2025-01-02T03:04:05Z", "<time>", False),
        ("0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d", "<uuid>", True),
        ("0f9b2d60", "<uuid>", False),
        ("x", "<text>", True),
        ("", "<text>", False),
        (None, "<text>", False),
        (12, "<number>", True),
        ("x", "<number>", False),
    ],
)
def test_what_is_alike(got, expected, same):
    assert like(got, expected) is same
