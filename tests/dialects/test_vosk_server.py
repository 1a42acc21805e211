import json
from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Heard, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Changes, Endpointing, Mode
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Commit,
    Configure,
    Finish,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Send,
    SessionInfo,
)
from appliance.dialects.vosk_server import ANONYMOUS, CLOSE, OUTSTANDING, STATUS, VoskServer

PATH = "/vosk"
EOF = '{"eof" : 1}'
RESET = '{"reset" : 1}'


def asking(*query, endpointing=Endpointing(), **headers):  # noqa: B008
    return VoskServer.open(Handshake(PATH, headers, query, endpointing, VoskServer.limits))


def connection(*query):
    dialect = asking(*query).dialect
    assert dialect.opening(SessionInfo("0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d", "en", "kiosk", float)) == []
    return dialect


def config(**values):
    return json.dumps({"config": values})


def final(text="open the", confidence=0.5):
    words = tuple(Word(word, 1_600 * i, 1_600 * i + 1_600, 0.98765432) for i, word in enumerate(text.split()))
    return Final(0, text, words, confidence, "en", 0, 16_000, Cause.SILENCE)


def partial(text):
    return Partial(0, text, (), 0, 0, 16_000)


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking(endpointing=Endpointing(mode=Mode.MANUAL, threshold=0.7))
    assert isinstance(opening, Opening)
    options = opening.options
    assert options.audio == AudioFormat(rate=8_000)
    assert options.languages == options.phrases == ()
    assert options.acknowledge is True
    assert options.partial_ms == 200
    assert options.endpointing == Endpointing(mode=Mode.VAD, silence_to_end_ms=500, threshold=0.7)
    assert opening.keys == (ANONYMOUS,)
    assert opening.limits == VoskServer.limits


@pytest.mark.parametrize(
    ("query", "headers", "key"),
    [
        ((), {}, ANONYMOUS),
        ((("key", ""),), {"authorization": "Bearer "}, ANONYMOUS),
        ((("key", "a"),), {}, "a"),
        ((), {"authorization": "Bearer b"}, "b"),
        ((), {"authorization": "bearer b"}, "b"),
        ((("key", "a"),), {"authorization": "Bearer b"}, "a"),
    ],
)
def test_keys(query, headers, key):
    assert asking(*query, **headers).keys == (key,)


def test_the_query_may_say_what_config_can():
    opening = asking(
        ("sample_rate", "16000.0"),
        ("words", "false"),
        ("max_alternatives", "3"),
        ("phrase_list", "stop"),
        ("phrase_list", "go on"),
        ("language", "EN"),
        ("model", "any"),
    )
    assert opening.options.audio.rate == 16_000
    assert opening.options.phrases == ("stop", "go on")
    assert opening.options.languages == ("en",)
    opening.dialect.emit(final("stop"))
    opening.dialect.receive(EOF)
    assert told(opening.dialect.emit(Closed(1))[:1]) == [{"alternatives": [{"confidence": 0.5, "text": "stop"}]}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", "x"),
        ("sample_rate", "3999"),
        ("sample_rate", "192001"),
        ("words", "no"),
        ("max_alternatives", "x"),
    ],
)
def test_bad_queries(name, value):
    refusal = asking((name, value))
    assert refusal.status == 400
    assert name in msgspec.json.decode(refusal.body)["message"]


names = st.sampled_from(["sample_rate", "words", "max_alternatives", "phrase_list", "language", "key", "x"])
texts = st.text(alphabet=st.characters(exclude_categories=()))


@given(st.lists(st.tuples(names | texts, texts)), st.dictionaries(st.just("authorization"), texts))
def test_no_handshake_is_too_odd(query, headers):
    assert isinstance(VoskServer.open(Handshake(PATH, headers, query)), Opening | Refusal)


@pytest.mark.parametrize("kind", Kind)
def test_refusals(kind):
    problem = Problem(kind, "why")
    refusal = VoskServer.refuse(problem, Handshake(PATH, {}, ()))
    assert refusal.status == STATUS.get(kind, 400)
    assert msgspec.json.decode(refusal.body) == {"error": str(kind), "message": problem.message}


# config


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({"sample_rate": 16_000}, Changes(audio=AudioFormat(rate=16_000))),
        ({"sample_rate": 48_000.0}, Changes(audio=AudioFormat(rate=48_000))),
        ({"sample_rate": "8000"}, Changes(audio=AudioFormat(rate=8_000))),
        ({"sample_rate": 11_025.4}, Changes(audio=AudioFormat(rate=11_025))),
        ({"phrase_list": ["one two", "[unk]"]}, Changes(phrases=("one two", "[unk]"))),
        ({"phrase_list": []}, Changes(phrases=())),
        ({"phrase_list": None, "sample_rate": None}, None),
        ({"words": 1}, None),
        ({"words": True, "max_alternatives": 20.0}, None),
        ({"model": "/opt/model", "anything": {}}, None),
        ({}, None),
    ],
)
def test_config(values, changes):
    assert connection().receive(config(**values)) == ([Configure(changes)] if changes else [])


def test_the_rate_counts_before_the_first_audio():
    dialect = connection()
    dialect.receive(b"")
    assert dialect.receive(config(sample_rate=16_000)) == [Configure(Changes(audio=AudioFormat(rate=16_000)))]
    dialect.receive(b"\0")
    assert dialect.receive(config(sample_rate=48_000)) == []
    assert dialect.receive(config(sample_rate=48_000, phrase_list=["a"])) == [Configure(Changes(phrases=("a",)))]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "1",
        "[]",
        "{}",
        '{"stop": 1}',
        '{"config": 1}',
        '{"config": null}',
        config(sample_rate=0),
        config(sample_rate="fast"),
        config(sample_rate=[]),
        '{"config": {"sample_rate": NaN}}',
        '{"config": {"sample_rate": 1e999}}',
        config(phrase_list="one two"),
        config(phrase_list=[1]),
        config(words="no"),
        config(max_alternatives="many"),
        "[" * 100_000,
        '{"config": {"a": ' + "[" * 100_000,
        "\ud800",
    ],
)
def test_what_is_not_understood_ends_it(message):
    (hangup,) = connection().receive(message)
    assert hangup.code == 1008
    assert hangup.reason


# answers


def test_every_message_has_one_answer_once_it_was_heard():
    dialect = connection()
    assert dialect.receive(b"\0" * 100) == [Hear(b"\0" * 100)]
    assert dialect.receive(b"\0" * 50) == [Hear(b"\0" * 50)]
    assert dialect.emit(Heard(99)) == []
    assert told(dialect.emit(Heard(120))) == [{"partial": ""}]
    assert dialect.emit(partial("open")) == []
    assert told(dialect.emit(Heard(150))) == [{"partial": "open"}]
    assert dialect.emit(Heard(150)) == []


def test_a_result_takes_the_place_of_a_partial():
    dialect = connection()
    dialect.receive(b"\0" * 100)
    dialect.receive(b"\0" * 100)
    dialect.emit(partial("open"))
    assert dialect.emit(final()) == []
    first, second = told(dialect.emit(Heard(200)))
    assert first == {
        "result": [
            {"conf": 0.987654, "start": 0.0, "end": 0.1, "word": "open"},
            {"conf": 0.987654, "start": 0.1, "end": 0.2, "word": "the"},
        ],
        "text": "open the",
    }
    assert second == {"partial": ""}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"words": False}, {"text": "open"}),
        ({"words": 0}, {"text": "open"}),
        ({"words": True}, {"result": [{"conf": 0.987654, "start": 0.0, "end": 0.1, "word": "open"}], "text": "open"}),
        ({"words": False, "max_alternatives": 1}, {"alternatives": [{"confidence": 0.5, "text": "open"}]}),
        (
            {"max_alternatives": 10},
            {
                "alternatives": [
                    {"confidence": 0.5, "result": [{"start": 0.0, "end": 0.1, "word": "open"}], "text": "open"}
                ]
            },
        ),
        ({"max_alternatives": 0, "words": 0}, {"text": "open"}),
    ],
)
def test_forms_of_a_result(values, expected):
    dialect = connection()
    dialect.receive(config(**values))
    dialect.receive(b"\0")
    dialect.emit(final("open"))
    assert told(dialect.emit(Heard(1))) == [expected]


@pytest.mark.parametrize(
    ("values", "empty"),
    [({}, {"text": ""}), ({"max_alternatives": 1}, {"alternatives": [{"confidence": 1.0, "text": ""}]})],
)
def test_an_empty_result(values, empty):
    dialect = connection()
    dialect.receive(config(**values))
    dialect.receive(EOF)
    assert told(dialect.emit(Closed(1))[:1]) == [empty]


@pytest.mark.parametrize(
    "message",
    [EOF, '{"eof":1}', '{"eof": true}', b'{"eof" : 1}', b'{"eof":1}', b'{"eof": true}', b' { "eof" : 1 }\n'],
)
def test_the_end(message):
    dialect = connection()
    dialect.receive(b"\0" * 10)
    assert dialect.receive(message) == [Finish()]
    assert dialect.receive(b"\0") == dialect.receive(EOF) == dialect.receive("nonsense") == []
    assert told(dialect.emit(Heard(10))) == [{"partial": ""}]
    dialect.emit(final("open"))
    dialect.emit(final("the"))
    result, hangup = dialect.emit(Closed(10))
    assert told([result])[0]["text"] == "open the"
    assert [word["word"] for word in told([result])[0]["result"]] == ["open", "the"]
    assert hangup == Hangup(1000)


def test_reset_has_its_answer_in_its_turn():
    dialect = connection()
    dialect.receive(b"\0" * 10)
    assert dialect.receive(RESET) == [Commit()]
    dialect.receive(b"\0" * 10)
    assert dialect.receive(RESET) == [Commit()]
    assert told(dialect.emit(Heard(10))) == [{"partial": ""}]
    dialect.emit(final("open"))
    assert [one["text"] for one in told(dialect.emit(Committed(1, False)))] == ["open"]
    assert told(dialect.emit(Heard(20))) == [{"partial": ""}]
    assert told(dialect.emit(Committed(1, True))) == [{"text": ""}]
    assert dialect.emit(Committed(1, True)) == []


def test_the_server_stops():
    dialect = connection()
    assert dialect.emit(Closed(1)) == [Hangup(1001, "The server is shutting down")]
    dialect = connection()
    dialect.emit(final("open"))
    result, hangup = dialect.emit(Closed(1))
    assert told([result])[0]["text"] == "open"
    assert hangup.code == 1001


@pytest.mark.parametrize("kind", Kind)
def test_failures(kind):
    problem = Problem(kind, "why")
    for effects in (connection().fail(problem), connection().emit(Closed(5, problem))):
        assert effects == [Hangup(CLOSE.get(kind, 1008), problem.message)]


def test_what_is_heard_after_a_failure_is_told_at_once():
    """The server lets a session tell its last words before it closes; nobody will ask for them any more."""
    dialect = connection()
    dialect.receive(b"\0" * 10)
    dialect.fail(Problem(Kind.TOO_LONG))
    assert told(dialect.emit(Heard(10))) == [{"partial": ""}]
    assert told(dialect.emit(final("open")))[0]["text"] == "open"
    assert dialect.receive(b"\0") == []


def test_messages_without_an_answer_are_bounded():
    dialect = connection()
    dialect.receive(b"\0")
    for _ in range(OUTSTANDING - 1):
        assert dialect.receive(b"") == []
    (hangup,) = dialect.receive(b"")
    assert hangup.code == 1008
    assert dialect.receive(b"") == []


@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1), Committed(1, True), partial("open"), final()])
def test_nothing_is_said_unasked(event):
    assert connection().emit(event) == []


# properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["config", "eof", "sample_rate", "words"]), inner),
)


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_receive_never_raises(message):
    for one in connection().receive(message):
        assert isinstance(one, Hear | Commit | Configure | Finish | Hangup | Send)


class Session:
    """Obeys in order, one command at a time, and hears a word in every other piece of audio."""

    def __init__(self, dialect):
        self.dialect = dialect
        self.waiting = deque()
        self.spoken = []
        self.heard = 0
        self.answers = []

    def client(self, message):
        for one in self.dialect.receive(message):
            self.answers.append(one) if isinstance(one, Send) else self.waiting.append(one)

    def work(self):
        if not self.waiting:
            return
        match self.waiting.popleft():
            case Hear(data=data):
                self.tell(Heard(self.heard + len(data) // 2))
                self.heard += len(data)
                self.tell(partial("perhaps"))
                if self.heard % 2:
                    self.spoken.append(f"word{self.heard}")
                    self.tell(final(self.spoken[-1]))
                self.tell(Heard(self.heard))
            case Commit():
                self.tell(Committed(self.heard, True))

    def tell(self, event):
        self.answers += self.dialect.emit(event)


MESSAGES = {"audio": b"\0" * 7, "empty": b"", "reset": RESET}


@given(st.lists(st.sampled_from([*MESSAGES, "work"]), max_size=80))
def test_as_many_answers_as_messages_and_every_word_once(steps):
    """However far a client is ahead of its answers."""
    session = Session(connection())
    for number, step in enumerate(steps):
        session.client(MESSAGES[step]) if step in MESSAGES else session.work()
        assert len(session.answers) <= sum(one in MESSAGES for one in steps[: number + 1])
    while session.waiting:
        session.work()
    messages = [one for one in steps if one in MESSAGES]
    answers = told(session.answers)
    assert len(answers) == len(messages)
    assert all("text" in answer for answer, message in zip(answers, messages, strict=True) if message == "reset")
    assert session.dialect.receive(EOF) == [Finish()]
    last = told(session.dialect.emit(Closed(0))[:1])
    texts = [answer["text"] for answer in answers + last if answer.get("text")]
    assert " ".join(texts).split() == session.spoken


@pytest.mark.parametrize("message", [b'{"eof"', b'{"end": 1}', b"{}", b"{" * 40, b'"eof"', b'{"eof": 1}' + bytes(100)])
def test_receive_binary_other_than_eof_is_audio(message):
    assert asking().dialect.receive(message) == [Hear(message)]
