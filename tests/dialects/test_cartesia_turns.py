import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Heard, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import Endpointing, Mode
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Configure,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Refusal,
    Send,
    SessionInfo,
)
from appliance.dialects.cartesia_turns import CartesiaTurns
from tests.core.rig import Recorder, new
from tests.sound import speech

ID = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"
OWN = Endpointing(threshold=0.55, silence_to_end_ms=900, min_speech_ms=200, pre_roll_ms=333, mode=Mode.MANUAL)


def asking(*query, endpointing=OWN):
    return CartesiaTurns.open(Handshake("/stt/turns/websocket", {}, query, endpointing, CartesiaTurns.limits))


def connection(*query):
    dialect = asking(*query).dialect
    assert told(dialect.opening(SessionInfo(ID, "en", "kiosk", float))) == [{"type": "connected", "request_id": ID}]
    return dialect


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


def turns(effects):
    """The messages as (type, transcript)."""
    return [(message["type"].removeprefix("turn."), message.get("transcript")) for message in told(effects)]


def final(text, cause=Cause.SILENCE):
    return Final(0, text, (), 0.5, "en", 0, 16_000, cause)


def partial(text, stable):
    words = tuple(Word(word, 0, 0, 1.0) for word in text.split())
    return Partial(0, text, words, stable, 0, 16_000)


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking(("api_key", "key"))
    assert isinstance(opening, Opening)
    options = opening.options
    assert (options.languages, options.partial_ms, options.acknowledge) == ((), 250, True)
    assert options.endpointing == Endpointing(
        mode=Mode.VAD, threshold=0.55, pre_roll_ms=333, min_speech_ms=96, silence_to_end_ms=700
    )
    assert (opening.keys, opening.limits.idle_s, opening.id_header) == (("key",), 180, "x-request-id")


@pytest.mark.parametrize(("code", "languages"), [("", ()), ("en", ("en",)), ("HI-in", ("hi",))])
def test_a_language_counts_where_one_is_sent(code, languages):
    assert asking(("language", code)).options.languages == languages


@pytest.mark.parametrize(
    ("query", "voice_ms", "silence_ms"),
    [
        ({}, 96, 700),
        ({"turn_start_threshold": "0.8", "turn_end_threshold": "0.2"}, 96, 700),
        ({"turn_start_threshold": "0.5"}, 41, 700),
        ({"turn_start_threshold": "0.9"}, 137, 700),
        ({"turn_end_threshold": "0.5"}, 96, 302),
        ({"turn_end_threshold": "0.05"}, 96, 1303),
        ({"turn_end_threshold": "0.05", "turn_end_timeout_ms": "11200"}, 96, 1303),
        ({"turn_end_threshold": "0.05", "turn_end_timeout_ms": "800.4"}, 96, 800),
        ({"turn_end_timeout_ms": "640"}, 96, 640),
        # the vendor's texts differ in the defaults, so that only what is given is compared
        ({"turn_eager_end_threshold": "0.3"}, 96, 700),
        ({"turn_eager_end_threshold": "0.8"}, 96, 700),
        ({"turn_end_threshold": "0.45"}, 96, 347),
        ({"turn_end_threshold": ""}, 96, 700),
    ],
)
def test_thresholds(query, voice_ms, silence_ms):
    endpointing = asking(*query.items()).options.endpointing
    assert (endpointing.min_speech_ms, endpointing.silence_to_end_ms) == (voice_ms, silence_ms)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"turn_start_threshold": "0.49"}, "turn_start_threshold '0.49'; expected 0.5 to 0.9"),
        ({"turn_start_threshold": "0.91"}, "turn_start_threshold '0.91'; expected 0.5 to 0.9"),
        ({"turn_eager_end_threshold": "0.29"}, "turn_eager_end_threshold '0.29'; expected 0.3 to 0.8"),
        ({"turn_eager_end_threshold": "nan"}, "turn_eager_end_threshold 'nan'; expected 0.3 to 0.8"),
        ({"turn_end_threshold": "0.04"}, "turn_end_threshold '0.04'; expected 0.05 to 0.5"),
        ({"turn_end_threshold": "0.51"}, "turn_end_threshold '0.51'; expected 0.05 to 0.5"),
        ({"turn_end_threshold": "low"}, "turn_end_threshold 'low'; expected 0.05 to 0.5"),
        ({"turn_end_timeout_ms": "639"}, "turn_end_timeout_ms '639'; expected 640 to 11200"),
        ({"turn_end_timeout_ms": "11201"}, "turn_end_timeout_ms '11201'; expected 640 to 11200"),
        (
            {"turn_eager_end_threshold": "0.4", "turn_end_threshold": "0.4"},
            "turn_eager_end_threshold 0.4 must be above turn_end_threshold 0.4",
        ),
        (
            {"turn_start_threshold": "0.5", "turn_eager_end_threshold": "0.6"},
            "turn_start_threshold 0.5 must be above turn_eager_end_threshold 0.6",
        ),
        (
            {"turn_start_threshold": "0.5", "turn_end_threshold": "0.5"},
            "turn_start_threshold 0.5 must be above turn_end_threshold 0.5",
        ),
        ({"sample_rate": "1"}, "sample_rate '1'; expected a whole number from 8000 to 192000"),
        ({"language": "english"}, "language 'english'; expected an ISO 639-1 code"),
    ],
)
def test_bad_values_are_told_in_the_place_of_connected(query, said):
    refusal = asking(*query.items())
    assert isinstance(refusal, Refusal)
    error, hangup = refusal.effects
    (message,) = told([error])
    assert (message["type"], message["status_code"], hangup.code) == ("error", 400, 1000)
    assert message["message"].endswith(f": {said}")


# messages


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (b"\0\0", [Hear(b"\0\0")]),
        (b"", [KeepAlive()]),
        ('{"type":"close"}', [KeepAlive(), Finish()]),
        ('{"type":"close","turn":null}', [KeepAlive(), Finish()]),
    ],
)
def test_receive(message, commands):
    assert connection().receive(message) == commands


@pytest.mark.parametrize(
    ("turn", "voice_ms", "silence_ms"),
    [
        ("{}", 96, 302),
        ("null", 96, 302),
        ('{"start_threshold":null,"end_threshold":null}', 96, 302),
        ('{"end_threshold":0.05}', 96, 1303),
        ('{"start_threshold":0.9,"eager_end_threshold":0.6}', 137, 302),
        ('{"end_threshold":0.05,"end_timeout_ms":700}', 96, 700),
        ('{"end_threshold":0.05,"end_timeout_ms":700.0,"more":{}}', 96, 700),
    ],
)
def test_config_changes_what_it_names(turn, voice_ms, silence_ms):
    dialect = connection(("turn_end_threshold", "0.5"))
    alive, configure = dialect.receive(f'{{"type":"config","turn":{turn}}}')
    assert alive == KeepAlive()
    assert isinstance(configure, Configure)
    endpointing = configure.changes.endpointing
    assert (endpointing.min_speech_ms, endpointing.silence_to_end_ms) == (voice_ms, silence_ms)
    assert (endpointing.mode, endpointing.threshold, endpointing.pre_roll_ms) == (Mode.VAD, 0.55, 333)


def test_a_bad_config_changes_nothing():
    dialect = connection()
    dialect.receive('{"type":"config","turn":{"end_timeout_ms":640}}')
    _, error = dialect.receive('{"type":"config","turn":{"end_timeout_ms":5000,"start_threshold":1.5}}')
    assert told([error])[0]["error_code"] == "invalid_parameter"
    _, configure = dialect.receive('{"type":"config"}')
    assert configure.changes.endpointing.silence_to_end_ms == 640


NONSENSE = [
    "", "close", "done", "{", "{}", "[]", "null", '{"type":1}', '{"type":"x"}', '{"type":"config","turn":[]}',
    '{"type":"config","turn":{"end_threshold":"0.2"}}', '{"type":"config","turn":{"end_threshold":true}}',
    '{"type":"config","turn":{"end_timeout_ms":1e999}}', '{"type":"config","turn":{"end_timeout_ms":%s}}' % ("9" * 999),
    '{"type":"config","turn":{"end_threshold":-0.2}}', "[" * 100_000, '{"turn":' * 100_000, "\ud800",
    '{"type":"\\ud800"}', '{"type":"%s"}' % ("x" * 1_000_000),
]  # fmt: skip


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_command_is_an_error_and_the_session_goes_on(message):
    dialect = connection()
    alive, error = dialect.receive(message)
    (answer,) = told([error])
    assert alive == KeepAlive()
    assert (answer["type"], answer["request_id"], answer["status_code"], answer["code"]) == ("error", ID, 400, 400)
    assert len(answer["message"]) < 400
    assert dialect.receive('{"type":"close"}') == [KeepAlive(), Finish()]


def test_nothing_counts_after_the_client_has_asked_for_the_end():
    dialect = connection()
    dialect.receive('{"type":"close"}')
    assert [dialect.receive(message) for message in ('{"type":"close"}', "x", b"\0\0", b"")] == [[]] * 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NUMBERS = st.floats(allow_nan=False) | st.integers() | st.floats(0, 1) | st.floats(600, 12_000)
CONFIGS = st.fixed_dictionaries({
    "type": st.just("config") | JSON,
    "turn": st.dictionaries(
        st.sampled_from(["start_threshold", "eager_end_threshold", "end_threshold", "end_timeout_ms"]), NUMBERS | JSON
    ),
})  # fmt: skip


@given(
    st.lists(st.text(st.characters()) | st.binary() | (JSON | CONFIGS).map(lambda v: msgspec.json.encode(v).decode()))
)
def test_no_message_breaks_it(messages):
    dialect = connection()
    for message in messages:
        for effect in dialect.receive(message):
            if isinstance(effect, Configure):
                fields = msgspec.to_builtins(effect.changes.endpointing)
                assert msgspec.convert(fields, Endpointing)  # within its own bounds
    assert dialect.receive(b"\0\0") == [Hear(b"\0\0")]


# turns


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([SpeechStarted(0), SpeechEnded(1), final("a b"), Heard(9)], [("start", None), ("end", "a b")]),
        ([SpeechStarted(0), Heard(1)], [("start", None)]),
        ([SpeechStarted(0), SpeechEnded(1)], [("start", None)]),
        ([SpeechStarted(0), SpeechEnded(1), Heard(9), Heard(10)], [("start", None), ("end", "")]),
        # blanks: none before the first text, one before each later one
        (
            [SpeechStarted(0), SpeechEnded(1), Heard(2), SpeechStarted(3), partial("a", 1), SpeechEnded(4), final("a"),
             SpeechStarted(5), partial("b", 1), SpeechEnded(6), final("b"), SpeechStarted(7), SpeechEnded(8), Heard(9),
             SpeechStarted(10), final("c")],
            [("start", None), ("end", ""), ("start", None), ("update", "a"), ("end", "a"), ("start", None),
             ("update", " b"), ("end", " b"), ("start", None), ("end", ""), ("start", None), ("end", " c")],
        ),
        # only what has settled, only what is new, and never less or otherwise
        (
            [SpeechStarted(0), partial("a", 0), partial("a b", 1), partial("a c", 1), partial("a c d", 3),
             partial("a c", 2), partial("a b e f", 4), partial("a c d e", 4)],
            [("start", None), ("update", "a"), ("update", "a c d"), ("update", "a c d e")],
        ),
        # a segment that was too long
        (
            [SpeechStarted(0), final("a", Cause.LONGEST), Heard(1), partial("b", 0), partial("b", 1), SpeechEnded(5),
             final("b")],
            [("start", None), ("end", "a"), ("start", None), ("update", " b"), ("end", " b")],
        ),
        ([SpeechStarted(0), final("a", Cause.LONGEST), SpeechEnded(5), Heard(6)], [("start", None), ("end", "a")]),
        ([SpeechStarted(0), Committed(0, True)], [("start", None)]),
    ],
)  # fmt: skip
def test_turns(events, expected):
    dialect = connection()
    assert turns([effect for event in events for effect in dialect.emit(event)]) == expected


WORDS = st.lists(st.sampled_from("abc"), max_size=4).map(" ".join)
EVENTS = st.lists(
    st.one_of(
        st.just(SpeechStarted(0)),
        st.just(SpeechEnded(0)),
        st.just(Heard(1)),
        st.builds(partial, WORDS, st.integers(0, 5)),
        st.builds(final, WORDS.filter(bool)),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_happens_turns_begin_and_end_and_their_texts_only_grow(events):
    dialect = connection()
    dialect.receive('{"type":"close"}')
    *effects, hangup = [effect for event in (*events, Closed(0)) for effect in dialect.emit(event)]
    assert hangup == Hangup(1000)
    said = turns(effects)
    speaking, text, whole = False, "", ""
    for kind, transcript in said:
        assert speaking is (kind != "start")
        if kind == "update":
            assert transcript.startswith(text)
            assert transcript != text
        text = transcript if kind == "update" else ""
        speaking = kind != "end"
        whole += transcript if kind == "end" else ""
    assert not speaking
    assert whole == " ".join(event.text for event in events if isinstance(event, Final))


@pytest.mark.parametrize(("deaf", "transcripts"), [(True, ["", ""]), (False, ["u1", " u2"])])
def test_a_real_session_leaves_no_turn_open(deaf, transcripts):
    """The first turn ends before the audio does; only the second may wait for the client to leave."""
    opening = asking(endpointing=Endpointing())
    session, dialect = new(opening.options, Recorder(deaf=deaf)), opening.dialect
    audio = speech(992, 1024, 1600, 1024).astype("<i2").tobytes()
    heard = [event for start in range(0, len(audio), 3200) for event in session.push(audio[start : start + 3200])]
    before = turns([effect for event in heard for effect in dialect.emit(event)])
    assert [turn for turn in before if turn[0] != "update"] == [
        ("start", None),
        ("end", transcripts[0]),
        ("start", None),
    ]
    dialect.receive('{"type":"close"}')
    *after, hangup = [effect for event in session.finish() for effect in dialect.emit(event)]
    assert ([turn for turn in turns(after) if turn[0] != "update"], hangup) == ([("end", transcripts[1])], Hangup(1000))


def test_an_end_that_was_not_asked_for_is_worth_a_reconnect():
    dialect = connection()
    assert dialect.emit(Closed(100)) == [Hangup(1001, "The server is shutting down")]
    dialect.emit(SpeechStarted(0))
    end, hangup = dialect.emit(Closed(100))
    assert (turns([end]), hangup.code) == ([("end", "")], 1001)


@pytest.mark.parametrize(("kind", "code"), [(Kind.ENGINE_FAILED, 1011), (Kind.QUOTA_EXCEEDED, 1008)])
def test_failures(kind, code):
    dialect = connection()
    for effects in (dialect.fail(Problem(kind)), dialect.emit(Closed(5, Problem(kind)))):
        assert [type(effect) for effect in effects] == [Send, Hangup]
        assert (told(effects[:1])[0]["request_id"], effects[1].code) == (ID, code)


def test_thresholds_mean_more_patience_the_lower_the_end_and_more_proof_the_higher_the_start():
    def settings(name, values):
        return [asking((name, str(value))).options.endpointing for value in values]

    silences = [found.silence_to_end_ms for found in settings("turn_end_threshold", (0.5, 0.4, 0.3, 0.2, 0.1, 0.05))]
    voices = [found.min_speech_ms for found in settings("turn_start_threshold", (0.5, 0.6, 0.7, 0.8, 0.9))]
    assert all(a < b for a, b in itertools.pairwise(silences))
    assert all(a < b for a, b in itertools.pairwise(voices))
