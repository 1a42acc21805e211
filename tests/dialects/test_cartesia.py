import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Heard, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Encoding, Endpointing, Mode
from appliance.core.problems import READABLE, Kind, Problem
from appliance.dialects.base import (
    Answer,
    Commit,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
)
from appliance.dialects.cartesia import Cartesia
from appliance.dialects.cartesia_turns import CartesiaTurns

PATH = "/stt/websocket"
ID = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"
BOTH = [Cartesia, CartesiaTurns]
(TOKENS,) = Cartesia.endpoints
BOX = Endpointing()


def asking(*query, kind=Cartesia, headers=None, endpointing=BOX):
    return kind.open(Handshake(PATH, headers or {}, query, endpointing, kind.limits))


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


def connection(*query):
    dialect = asking(*query).dialect
    assert dialect.opening(SessionInfo(ID, "en", "kiosk", float)) == []
    return dialect


def final(text="open the door", start=16_000, end=45_120, words=()):
    return Final(0, text, words, 0.5, "en", start, end, Cause.SILENCE)


def partial(text="open the", words=()):
    return Partial(0, text, words, 0, 0, 16_000)


# handshakes


def test_a_key_alone_is_enough():
    own = Endpointing(threshold=0.5, silence_to_end_ms=700)
    opening = asking(("api_key", "key"), endpointing=own)
    assert isinstance(opening, Opening)
    options = opening.options
    assert (options.audio, options.languages) == (AudioFormat(Encoding.S16LE, 16_000, 1), ("en",))
    assert (options.endpointing, options.partial_ms, options.phrases, options.numerals) == (own, 250, (), False)
    assert (opening.keys, opening.limits.idle_s, opening.id_header) == (("key",), 180, "x-request-id")


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("headers", "query", "keys"),
    [
        ({}, [], ()),
        ({"authorization": "Bearer k"}, [], ("k",)),
        ({"authorization": " bearer  k "}, [], ("k",)),
        ({"authorization": "Token k"}, [], ()),
        ({"authorization": "k"}, [], ()),
        ({"authorization": "Bearer"}, [], ()),
        ({"x-api-key": " k "}, [], ("k",)),
        ({"x-api-key": " "}, [("api_key", ""), ("access_token", " ")], ()),
        ({}, [("api_key", "k")], ("k",)),
        ({}, [("access_token", "t")], ("t",)),
        ({}, [("api_key", "j"), ("api_key", "k")], ("k",)),
        ({"authorization": "Bearer a", "x-api-key": "b"}, [("api_key", "d"), ("access_token", "c")], tuple("abcd")),
        ({"authorization": "Bearer a", "x-api-key": "a"}, [("api_key", "a")], ("a",)),
    ],
)
def test_four_places_of_a_key(kind, headers, query, keys):
    assert asking(*query, kind=kind, headers=headers).keys == keys


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 192_000])
def test_encodings_and_rates(kind, encoding, rate):
    opening = asking(("encoding", encoding.value), ("sample_rate", str(rate)), kind=kind)
    assert opening.options.audio == AudioFormat(encoding, rate, 1)


@pytest.mark.parametrize(
    ("given", "languages"),
    [
        ("", ("en",)),
        ("en", ("en",)),
        ("DE", ("de",)),
        (" fr ", ("fr",)),
        ("en-US", ("en",)),
        ("zh_Hant-TW", ("zh",)),
        ("haw", ("haw",)),
        ("yue", ("yue",)),
    ],
)
def test_languages(given, languages):
    assert asking(("language", given)).options.languages == languages


@pytest.mark.parametrize("model", ["ink-whisper", "ink-whisper-2025-06-04", "ink-2", "", "anything else"])
@pytest.mark.parametrize("kind", BOTH)
def test_any_model_is_the_one_that_is_installed(kind, model):
    assert asking(("model", model), kind=kind).options == asking(kind=kind).options


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], Endpointing(mode=Mode.MANUAL)),
        ([("min_volume", "0.01")], Endpointing(mode=Mode.MANUAL, min_volume=0.01)),
        ([("min_volume", "1")], Endpointing(mode=Mode.MANUAL, min_volume=1)),
        ([("max_silence_duration_secs", "0.4567")], Endpointing(silence_to_end_ms=457)),
        ([("max_silence_duration_secs", "60")], Endpointing(silence_to_end_ms=60_000)),
        ([("max_silence_duration_secs", "0"), ("min_volume", "0")], Endpointing(silence_to_end_ms=0)),
        ([("max_silence_duration_secs", ""), ("min_volume", "")], Endpointing(mode=Mode.MANUAL)),
    ],
)
def test_endpointing_is_the_appliances_own_where_the_query_does_not_say(query, expected):
    found = asking(*query, endpointing=Endpointing(mode=Mode.MANUAL)).options.endpointing
    assert found == expected
    assert msgspec.convert(msgspec.to_builtins(found), Endpointing) == expected  # within its own bounds


BAD = [
    *(("sample_rate", rate) for rate in ("7999", "192001", "0", "-16000", "16000.0", "16e3", "१६०००", "²", "9" * 5000)),
    *(("encoding", encoding) for encoding in ("mp3", "PCM_S16LE", "S16LE", "x" * 5000)),
    *(("language", code) for code in ("english", "e", "e1", "*", "en-", "ß", "x" * 5000)),
    *(("min_volume", volume) for volume in ("-0.1", "1.1", "nan", "inf", "loud", "9" * 5000)),
    *(("max_silence_duration_secs", silence) for silence in ("-1", "60.1", "nan", "-inf", "1s")),
    ("keyterm", "x" * 1201),
]
KINDS = {"sample_rate": Kind.BAD_RATE, "encoding": Kind.BAD_ENCODING, "language": Kind.UNKNOWN_LANGUAGE}
TITLES = {"sample_rate": "Invalid sample rate", "encoding": "Invalid encoding", "language": "Invalid language"}


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_values_are_refused_in_band_with_what_was_expected(name, value):
    refusal = asking((name, value))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 0
    error, hangup = refusal.effects
    (message,) = told([error])
    assert (message["type"], message["status_code"], message["code"]) == ("error", 400, 400)
    assert message["title"] == TITLES.get(name, "Invalid parameter")
    assert message["message"].startswith(f"{READABLE[KINDS.get(name, Kind.BAD_OPTION)]}: {name} ")
    assert "expected" in message["message"]
    assert len(message["message"]) < 250
    assert hangup.code == 1000
    assert message["message"].startswith(hangup.reason)
    assert len(hangup.reason.encode()) <= 123


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("terms", "good"),
    [
        (["a"] * 100, True),
        (["a"] * 101, False),
        (["a" * 12] * 100, True),
        (["a" * 600, "b" * 601], False),
        ([""] * 101, False),
    ],
)
def test_keyterms_are_counted(kind, terms, good):
    assert isinstance(asking(*(("keyterm", term) for term in terms), kind=kind), Opening) is good


NAMES = st.sampled_from([
    *("model", "language", "encoding", "sample_rate", "min_volume", "max_silence_duration_secs", "keyterm", "api_key"),
    *("turn_start_threshold", "turn_eager_end_threshold", "turn_end_threshold", "turn_end_timeout_ms", "access_token"),
])  # fmt: skip
VALUES = st.one_of(
    st.text(st.characters(), max_size=30), st.floats().map(str), st.integers().map(str), st.sampled_from([*Encoding])
)


@pytest.mark.parametrize("kind", BOTH)
@given(
    query=st.lists(st.tuples(NAMES | st.text(max_size=5), VALUES), max_size=6),
    headers=st.dictionaries(st.sampled_from(["authorization", "x-api-key", "cartesia-version"]), VALUES),
)
def test_no_handshake_breaks_it(kind, query, headers):
    found = asking(*query, kind=kind, headers=headers)
    if isinstance(found, Opening):
        assert msgspec.convert(msgspec.to_builtins(found.options.endpointing), Endpointing)
        assert found.dialect.opening(SessionInfo(ID, "en", "m", float)) is not None
        told(found.dialect.emit(final()))
    else:
        assert [type(effect) for effect in found.effects] == [Send, Hangup]


STATUS = {
    Kind.NO_KEY: 401, Kind.BAD_KEY: 401, Kind.QUOTA_EXCEEDED: 402, Kind.NOT_ALLOWED: 403, Kind.TERMS_NOT_ACCEPTED: 403,
    Kind.TOO_MANY_SESSIONS: 429, Kind.TOO_MANY_STREAMS: 429, Kind.RATE_LIMITED: 429, Kind.NOT_READY: 503,
    Kind.SHUTTING_DOWN: 503,
}  # fmt: skip


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(("kind", "status"), STATUS.items())
def test_refusals_before_the_upgrade(dialect, kind, status):
    refusal = dialect.refuse(Problem(kind, "why"), Handshake(PATH, {}, ()))
    body = msgspec.json.decode(refusal.body)
    assert (refusal.status, refusal.effects) == (status, ())
    assert body.keys() == {"title", "message", "error_code", "status_code", "code", "doc_url"}
    assert (body["status_code"], body["code"], body["message"]) == (status, status, f"{READABLE[kind]}: why")


@pytest.mark.parametrize("dialect", BOTH)
def test_a_missing_model_is_told_in_the_words_that_are_published(dialect):
    error, hangup = dialect.refuse(Problem(Kind.NO_MODEL, "hi"), Handshake(PATH, {}, ())).effects
    (message,) = told([error])
    assert (message["error_code"], message["status_code"], hangup.code) == ("model_not_found", 400, 1000)


# the conversation


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (b"\0\0", [Hear(b"\0\0")]),
        (b"a", [Hear(b"a")]),
        (b"", [KeepAlive()]),
        ("finalize", [KeepAlive(), Commit()]),
        (" finalize\n", [KeepAlive(), Commit()]),
        ('"finalize"', [KeepAlive(), Commit()]),
        ("'finalize'", [KeepAlive(), Commit()]),
        ('{"type":"finalize","more":[1]}', [KeepAlive(), Commit()]),
        ("done", [KeepAlive(), Finish()]),
        ("close", [KeepAlive(), Finish()]),
        ('{"type":"close"}', [KeepAlive(), Finish()]),
    ],
)
def test_receive(message, commands):
    assert connection().receive(message) == commands


NONSENSE = [
    "", "Finalize", "finalise", "finalize done", "{", "{}", "[]", "null", '{"type":1}', '{"type":null}', '{"type":"x"}',
    '["finalize"]', "[" * 100_000, '{"a":' * 100_000, '{"type":"x","a":' + "[" * 100_000, "\ud800", '{"type":"\ud800"}',
    '{"type":"\\ud800"}', '{"type": 1e999}', "9" * 10_000, "x" * 1_000_000, "\0", "NaN",
]  # fmt: skip


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_command_is_an_error_and_the_session_goes_on(message):
    dialect = connection()
    alive, error = dialect.receive(message)
    (answer,) = told([error])
    assert alive == KeepAlive()
    assert (answer["type"], answer["request_id"], answer["status_code"]) == ("error", ID, 400)
    assert len(answer["message"]) < 400
    assert dialect.receive("finalize") == [KeepAlive(), Commit()]


def test_nothing_counts_after_the_client_has_asked_for_the_end():
    dialect = connection()
    dialect.receive("done")
    assert [dialect.receive(message) for message in ("done", "finalize", "x", b"\0\0", b"")] == [[]] * 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["type", "turn"]), inner),
)


@given(
    st.one_of(
        st.text(st.characters()),
        st.binary(),
        JSON.map(lambda value: msgspec.json.encode(value).decode()),
        st.dictionaries(st.just("type"), JSON).map(lambda value: msgspec.json.encode(value).decode()),
    )
)
def test_no_message_breaks_it(message):
    assert len(connection().receive(message)) in (1, 2)


def test_transcripts():
    dialect = connection(("language", "de-AT"))
    words = (Word("open", 16_000, 24_100, 0.5), Word("the", 24_100, 30_000, 0.5))
    assert told(dialect.emit(partial("open the", words)) + dialect.emit(final("open the", words=words))) == [
        {
            "type": "transcript",
            "is_final": is_final,
            "request_id": ID,
            "text": "open the",
            "language": "de",
            "words": [{"word": "open", "start": 1.0, "end": 1.506}, {"word": "the", "start": 1.506, "end": 1.875}],
        }
        | ({"duration": 2.82} if is_final else {})
        for is_final in (False, True)
    ]


def test_finals_joined_as_they_are_make_a_sentence_and_what_is_shown_beside_them_too():
    dialect = connection()
    texts = [told(dialect.emit(event))[0]["text"] for event in (partial("a"), final("a"), partial("b"), final("b c"))]
    assert texts == ["a", "a", " b", " b c"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), max_size=20))
def test_the_sum_of_all_durations_is_where_the_last_final_ends(segments):
    """As LiveKit counts: over every transcript message that has one."""
    dialect, position, added = connection(), 0, 0.0
    for gap, length in segments:
        start, position = position + gap, position + gap + length
        for event in (partial(), final(start=start, end=position)):
            added += told(dialect.emit(event))[0].get("duration", 0)
        assert added == pytest.approx(position / 16_000, abs=0.0006 * len(segments))


def test_a_duration_is_never_negative():
    dialect = connection()
    ends = [32_000, 16_000, 48_000]
    assert [told(dialect.emit(final(end=end)))[0]["duration"] for end in ends] == [2.0, 0.0, 1.0]


@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1), Heard(1)])
def test_events_that_are_not_part_of_it(event):
    assert connection().emit(event) == []


@pytest.mark.parametrize("empty", [True, False])
def test_each_commit_is_answered_once(empty):
    assert told(connection().emit(Committed(16_000, empty))) == [{"type": "flush_done", "request_id": ID}]


@pytest.mark.parametrize("command", ["done", "close"])
def test_the_end_that_was_asked_for(command):
    dialect = connection()
    dialect.receive(command)
    done, hangup = dialect.emit(Closed(100))
    assert (told([done]), hangup) == ([{"type": "done", "request_id": ID}], Hangup(1000))


def test_an_end_that_was_not_asked_for_is_worth_a_reconnect():
    assert connection().emit(Closed(100)) == [Hangup(1001, "The server is shutting down")]


OURS = {Kind.NOT_READY: 1011, Kind.QUEUE_OVERFLOW: 1011, Kind.ENGINE_FAILED: 1011, Kind.SHUTTING_DOWN: 1012}
IN_VAIN = {Kind.NO_MODEL, Kind.UNKNOWN_LANGUAGE, Kind.BAD_RATE, Kind.BAD_ENCODING, Kind.BAD_OPTION}


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.IDLE}))
def test_failures(kind):
    dialect = connection()
    for effects in (dialect.fail(Problem(kind, "why")), dialect.emit(Closed(5, Problem(kind, "why")))):
        error, hangup = effects
        (message,) = told([error])
        assert message.keys() == {
            *("type", "title", "message", "error_code", "status_code", "code", "doc_url", "request_id"),
        }
        assert (message["message"], message["request_id"]) == (f"{READABLE[kind]}: why", ID)
        assert message["code"] == message["status_code"]
        assert hangup.code == OURS.get(kind, 1000 if kind in IN_VAIN else 1008)
        assert (message["status_code"] >= 500) is (kind in OURS)
        assert len(hangup.reason.encode()) <= 123


@pytest.mark.parametrize("kind", BOTH)
def test_idleness_is_a_close_alone(kind):
    dialect = asking(kind=kind).dialect
    assert dialect.fail(Problem(Kind.IDLE)) == [Hangup(1000, "connection idle timeout")]


# tokens


def wanted(body=b"", **headers):
    return TOKENS.read(Request("/access-token", {name.replace("_", "-"): v for name, v in headers.items()}, (), body))


@pytest.mark.parametrize(
    ("body", "realm", "lifetime_s"),
    [
        (b"", "cartesia", 3600),
        (b"{}", "cartesia", 3600),
        (b'{"grants":null,"expires_in":null}', "cartesia", 3600),
        (b'{"grants":{"stt":true},"expires_in":60}', "cartesia", 60),
        (b'{"grants":{"stt":true,"tts":true,"agent":true},"expires_in":0.5}', "cartesia", 0.5),
        (b'{"grants":{}}', "cartesia:other", 3600),
        (b'{"grants":{"tts":true},"expires_in":3600}', "cartesia:other", 3600),
        (b'{"grants":{"stt":false}}', "cartesia:other", 3600),
        (b'{"grants":{"stt":null}}', "cartesia:other", 3600),
    ],
)
def test_tokens(body, realm, lifetime_s):
    wish = wanted(body, authorization="Bearer key", x_api_key="other")
    assert isinstance(wish, TokenWish)
    assert (wish.keys, wish.realm, wish.lifetime_s) == (("key", "other"), realm, lifetime_s)
    assert (wish.single_use, wish.longest_s, wish.prefix) == (False, None, "")
    assert wish.answer("tok") == Answer(200, '{"token":"tok"}')
    assert {kind.realm for kind in BOTH} == {"cartesia"}


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"expires_in":%s}' % value for value in (b"0", b"-1", b"3601", b"1e999", b'"60"', b"true", b"[]")),
        *(b"{", b"[]", b"null", b"\xff", b'"x"', b'{"grants":[]}', b'{"grants":{"stt":1}}', b'{"grants":' * 100_000),
    ],
)
def test_bad_wishes(body):
    answer = wanted(body)
    assert isinstance(answer, Answer)
    assert (answer.status, msgspec.json.decode(answer.body)["status_code"]) == (400, 400)


@given(st.binary() | JSON.map(msgspec.json.encode))
def test_no_wish_breaks_it(body):
    assert isinstance(wanted(body), TokenWish | Answer)


@pytest.mark.parametrize("kind", Kind)
def test_refused_tokens(kind):
    answer = TOKENS.refuse(Problem(kind, "why"))
    assert answer.status == msgspec.json.decode(answer.body)["status_code"]
    assert answer.status == STATUS.get(kind, answer.status)
