import json
import struct
import uuid
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Changes, Encoding, Endpointing, Limits, Mode
from appliance.core.problems import READABLE, Kind, Problem
from appliance.dialects.assemblyai_v2 import CLOSE, AssemblyAIv2
from appliance.dialects.base import (
    Answer,
    Commit,
    Configure,
    Finish,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    TokenWish,
)

PATH = "/v2/realtime/ws"
ID = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"
NOW = 1_735_787_045.25
STAMP = "2025-01-02T03:04:05.250000"
EXPIRES = "2025-01-02T06:04:05.250000"
SCHEMA = "Endpoint received a message with an invalid schema"
BOOST = "Could not parse word boost parameter"


class Clock:
    now = NOW

    def __call__(self):
        return self.now


def asking(query="sample_rate=16000", path=PATH, headers=None, **more):
    pairs = parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else query
    handshake = Handshake(path, {"authorization": "key"} if headers is None else headers, pairs)
    return AssemblyAIv2.open(structs.replace(handshake, **{"limits": AssemblyAIv2.limits, **more}))


def connection(query="sample_rate=16000", clock=None, **more):
    dialect = asking(query, **more).dialect
    dialect.opening(SessionInfo(ID, "en", "kiosk", clock or Clock()))
    return dialect


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects if isinstance(effect, Send)]


def ended(effects):
    """The text of the error and the close."""
    (error,), (end,) = told(effects), [effect for effect in effects if isinstance(effect, Hangup)]
    assert error.keys() == {"error"}
    assert isinstance(effects[-1], Hangup)
    return error["error"], end.code, end.reason


def final(text="open the door", cause=Cause.SILENCE, words=None, start=16_000, end=45_120):
    words = (Word(text, start, end, 0.5),) if words is None else words
    return Final(0, text, words, 0.5, "en", start, end, cause)


def wav(samples, chunks=b""):
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF" + struct.pack("<I", 99) + form + chunks + b"data" + struct.pack("<I", len(samples)) + samples


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking(endpointing=Endpointing(mode=Mode.MANUAL, threshold=0.6, longest_ms=20_000))
    assert isinstance(opening, Opening)
    options = opening.options
    assert options.audio == AudioFormat(Encoding.S16LE, 16_000, 1)
    assert options.endpointing == Endpointing(threshold=0.6, silence_to_end_ms=700, longest_ms=20_000)
    assert (options.languages, options.partial_ms, options.numerals, options.phrases) == ((), 250, True, ())
    assert (opening.keys, opening.resume, opening.limits) == (("key",), None, AssemblyAIv2.limits)


def test_limits_are_those_of_the_service():
    assert AssemblyAIv2.limits == Limits(
        idle_s=60, longest_s=10_800, fast_s=60, longest_frame_ms=2_000, sessions=100, resume_s=120, takeover_s=5
    )


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 44_100, 48_000, 192_000])
def test_rates(rate):
    assert asking(f"sample_rate={rate}").options.audio.rate == rate


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "sample_rate is missing"),
        ("sample_rate=", "sample_rate is missing"),
        ("sample_rate=0", "sample_rate is 0, possible are 4000 to 192000"),
        ("sample_rate=3999", "sample_rate is 3999, possible are 4000 to 192000"),
        ("sample_rate=192001", "sample_rate is 192001, possible are 4000 to 192000"),
        ("sample_rate=-16000", "sample_rate is '-16000'"),
        ("sample_rate=16000.0", "sample_rate is '16000.0'"),
        ("sample_rate=16e3", "sample_rate is '16e3'"),
        ("sample_rate=१६०००", "sample_rate is '१६०००'"),
        ("sample_rate=" + "1" * 5000, "sample_rate is '" + "1" * 20 + "'"),
        ("sample_rate=16000&sample_rate=x", "sample_rate is 'x'"),
    ],
)
def test_bad_rates(query, detail):
    reason = "Sample rate must be a positive integer"
    assert ended(asking(query).effects) == (f"{reason}: {detail}", 4000, reason)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [("pcm_s16le", Encoding.S16LE), ("pcm_mulaw", Encoding.MULAW), ("PCM_MULAW", Encoding.MULAW), ("", Encoding.S16LE)],
)
def test_encodings(value, encoding):
    assert asking(f"sample_rate=8000&encoding={value}").options.audio == AudioFormat(encoding, 8_000)


def test_an_unknown_encoding():
    detail = "encoding is 'opus', expected one of pcm_s16le, pcm_mulaw"
    assert ended(asking("sample_rate=8000&encoding=opus").effects) == (f"{SCHEMA}: {detail}", 4101, SCHEMA)


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ("True", True), ("TRUE", True), ("1", True), ("false", False), ("False", False), ("0", False),
     ("", False), ("maybe", False)],
)  # fmt: skip
def test_switches(value, on):
    query = f"sample_rate=16000&disable_partial_transcripts={value}&enable_extra_session_information={value}"
    assert asking(query).options.partial_ms == (0 if on else 250)
    dialect = connection(query)
    dialect.receive('{"terminate_session": true}')
    assert [message["message_type"] for message in told(dialect.emit(Closed(16_000)))] == [
        *(["SessionInformation"] if on else []),
        "SessionTerminated",
    ]


@pytest.mark.parametrize(
    ("query", "headers", "keys"),
    [
        ("", {}, ()),
        ("", {"authorization": "  "}, ()),
        ("", {"authorization": "Bearer "}, ()),
        ("", {"authorization": "bearer"}, ()),
        ("", {"authorization": " abc "}, ("abc",)),
        ("", {"authorization": "Bearer abc"}, ("abc",)),
        ("", {"authorization": "bearer  abc"}, ("abc",)),
        ("", {"authorization": "bearerabc"}, ("bearerabc",)),
        ("&token=tok", {}, ("tok",)),
        ("&token=tok", {"authorization": "abc"}, ("tok", "abc")),
        ("&token=", {"authorization": "abc"}, ("abc",)),
    ],
)
def test_keys_are_for_others_to_judge(query, headers, keys):
    assert asking("sample_rate=16000" + query, headers=headers).keys == keys


@pytest.mark.parametrize("words", [[], ["kiosk"], ["a b", "it's", 'say "x"'], ["é" * 2500], ["x" * 1250] * 2])
@pytest.mark.parametrize("written", [json.dumps, str, lambda words: json.dumps(words, ensure_ascii=False)])
def test_words_to_boost_in_all_ways_in_which_sdks_write_them(words, written):
    query = urlencode({"sample_rate": 16_000, "word_boost": written(words)})
    assert isinstance(asking(query), Opening)


@pytest.mark.parametrize("values", [["a", "b"], ["a", '["b"]'], ["", "a"], [""], ["x" * 1250, "y" * 1250]])
def test_words_to_boost_in_a_repeated_parameter(values):
    assert isinstance(asking([("sample_rate", "16000"), *(("word_boost", value) for value in values)]), Opening)


@pytest.mark.parametrize(
    "values",
    [
        ["kiosk"],
        ['"kiosk"'],
        ['{"kiosk": 1}'],
        ["null"],
        ["[1]"],
        ['["a", 1]'],
        ["['a', 1]"],
        ["['a'"],
        ["['a' 'b']"],
        ["['a\\']"],
        ["[" * 100_000],
        ["a", "['b'"],
        [json.dumps(["x" * 2501])],
        [str(["x" * 2501])],
        ["x" * 1250, "y" * 1251],
        ["[" + "'a'," * 50_000],
    ],
    ids=range(16),
)
def test_words_to_boost_that_cannot_be_read(values):
    refusal = asking([("sample_rate", "16000"), *(("word_boost", value) for value in values)])
    error, code, reason = ended(refusal.effects)
    assert (code, reason) == (4104, BOOST)
    assert error.startswith(f"{BOOST}: ")


@pytest.mark.parametrize(
    ("path", "resume"),
    [(PATH, None), ("/v2/realtime", None), (f"{PATH}/", None), (f"{PATH}/{ID}", ID), (f"{PATH}/{ID}/", ID),
     (f"{PATH}/nonsense", "nonsense")],
)  # fmt: skip
def test_paths(path, resume):
    assert asking(path=path).resume == resume


def test_a_session_that_goes_on_need_not_say_anything_again():
    opening = asking("word_boost=x&encoding=x", path=f"{PATH}/{ID}")
    assert (opening.resume, opening.keys) == (ID, ("key",))


@given(
    st.sampled_from([PATH, f"{PATH}/x", "/v2/realtime"]),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["sample_rate", "encoding", "word_boost", "token", "disable_partial_transcripts", "speech_model"]
            ),
            st.one_of(
                st.text(st.characters(exclude_categories=[]), max_size=30), st.sampled_from(["16000", "[]", "True"])
            ),
        )
    ),
    st.dictionaries(st.just("authorization"), st.text(max_size=30)),
)
def test_no_handshake_breaks_it(path, query, headers):
    found = asking(query, path, headers)
    if isinstance(found, Opening):
        assert told(found.dialect.opening(SessionInfo(ID, "en", "m", Clock())))[0]["expires_at"] == EXPIRES
    else:
        assert ended(found.effects)[1] in (4000, 4101, 4104)


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (Kind.NO_KEY, 4001, "Not Authorized"),
        (Kind.BAD_KEY, 4001, "Not Authorized"),
        (Kind.QUOTA_EXCEEDED, 4002, "Insufficient Funds"),
        (Kind.UNKNOWN_SESSION, 4004, "Session not found"),
        (Kind.TOO_LONG, 4008, "Session Expired"),
        (Kind.SESSION_EXPIRED, 4008, "Session Expired"),
        (Kind.SESSION_CLOSED, 4010, "Session previously closed"),
        (Kind.TOO_FAST, 4029, "Client sent audio too fast"),
        (Kind.SESSION_TAKEN, 4030, "Session is handled by another WebSocket"),
        (Kind.IDLE, 4031, "Session idle for too long"),
        (Kind.BAD_MESSAGE, 4101, SCHEMA),
        (Kind.TOO_MANY_SESSIONS, 4102, "This account has exceeded the number of allowed streams"),
        (Kind.SESSION_REPLACED, 4103, "This session has been reconnected. This WebSocket is no longer valid"),
    ],
)
def test_problems_in_the_words_of_the_service(kind, code, reason):
    for detail, error in (("", reason), ("why", f"{reason}: why")):
        problem = Problem(kind, detail)
        assert ended(AssemblyAIv2.refuse(problem, Handshake(PATH, {}, ())).effects) == (error, code, reason)
        assert ended(connection().fail(problem)) == (error, code, reason)
        assert ended(connection().emit(Closed(5, problem))) == (error, code, reason)


@pytest.mark.parametrize(
    ("kind", "code", "before"),
    [
        (Kind.RATE_LIMITED, 4001, "Not Authorized: "),
        (Kind.NOT_ALLOWED, 4003, "This feature is paid-only: "),
        (Kind.TERMS_NOT_ACCEPTED, 4003, "This feature is paid-only: "),
        (Kind.TOO_MANY_STREAMS, 1013, ""),
        (Kind.NOT_READY, 1013, ""),
        (Kind.QUEUE_OVERFLOW, 1013, ""),
        (Kind.NO_MODEL, 1011, ""),
        (Kind.ENGINE_FAILED, 1011, ""),
        (Kind.SHUTTING_DOWN, 1012, ""),
        (Kind.MESSAGE_TOO_BIG, 1009, ""),
        (Kind.CLIENT_TOO_SLOW, 1008, ""),
    ],
)
def test_problems_that_the_service_has_no_words_for(kind, code, before):
    text = f"{before}{READABLE[kind]}"
    assert ended(connection().fail(Problem(kind))) == (text, code, text)
    assert ended(connection().fail(Problem(kind, "why"))) == (f"{text}: why", code, f"{text}: why")


@pytest.mark.parametrize("kind", Kind)
def test_every_problem_has_a_code_and_a_reason_that_fits(kind):
    assert sum(kind in kinds for _, kinds in CLOSE.values()) <= 1
    _, code, reason = ended(connection().fail(Problem(kind, "आ" * 200)))
    assert 1000 < code < 5000
    assert 0 < len(reason.encode()) <= 123
    assert "�" not in reason


# the conversation


def test_the_beginning_and_the_same_again_after_a_resumption():
    clock = Clock()
    dialect = asking().dialect
    first = dialect.opening(SessionInfo(ID, "en", "kiosk", clock))
    assert told(first) == [{"message_type": "SessionBegins", "session_id": ID, "expires_at": EXPIRES}]
    assert first[0].text.startswith('{"message_type":')
    assert uuid.UUID(told(first)[0]["session_id"]).version == 4
    clock.now += 100
    assert dialect.opening(SessionInfo(ID, "en", "kiosk", clock, resumed=True)) == first


@pytest.mark.parametrize(
    ("longest_s", "days"), [(3600.0, 1 / 24), (0.0, 0), (None, 2e6 / 86_400), (1e300, 2e6 / 86_400)]
)
def test_the_end_that_is_told_is_one_that_clients_can_wait_for(longest_s, days):
    dialect = asking(limits=Limits(longest_s=longest_s)).dialect
    (begins,) = told(dialect.opening(SessionInfo(ID, "en", "kiosk", lambda: NOW)))
    until = datetime.fromisoformat(begins["expires_at"]) - datetime.fromisoformat(STAMP)
    assert until.total_seconds() == pytest.approx(days * 86_400)
    assert until.total_seconds() * 1000 < 2**31


def test_times_have_microseconds_even_when_there_are_none():
    dialect = connection(clock=lambda: 1_735_787_045.0)
    assert told(dialect.emit(final()))[0]["created"] == "2025-01-02T03:04:05.000000"


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (b"\0" * 3200, [Hear(b"\0" * 3200)]),
        (b"ab", [Hear(b"ab")]),
        (b"abc", [Hear(b"abc")]),
        ('{"audio_data": "YWI="}', [Hear(b"ab")]),
        ('{"audio_data": "YW\\r\\nI=\\n"}', [Hear(b"ab")]),
        ('{"force_end_utterance": true}', [Commit()]),
        ('{"terminate_session": true}', [Finish()]),
        ('{"terminate_session": true, "message_type": "TerminateSession"}', [Finish()]),
        ('{"force_end_utterance": false}', []),
        ('{"terminate_session": false}', []),
        ('{"terminate_session": true, "force_end_utterance": true, "audio_data": "YWI="}',
         [Hear(b"ab"), Commit(), Finish()]),
        (' {"force_end_utterance": true} ', [Commit()]),
    ],
)  # fmt: skip
def test_messages(message, commands):
    assert connection().receive(message) == commands


def test_the_threshold_changes_nothing_else():
    own = Endpointing(threshold=0.7, pre_roll_ms=100)
    dialect = connection(endpointing=own)
    for silence in (0, 300, 20_000):
        wanted = structs.replace(own, silence_to_end_ms=silence)
        assert dialect.receive(f'{{"end_utterance_silence_threshold": {silence}}}') == [
            Configure(Changes(endpointing=wanted))
        ]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", 4100),
        ("hello", 4100),
        ('{"terminate_session": true', 4100),
        ('{"terminate_session": True}', 4100),
        ('{"end_utterance_silence_threshold": NaN}', 4100),
        ('{"x": ' + "[" * 100_000, 4100),
        ('{"x": "\ud800"}', 4100),
        ("{}", 4101),
        ("[]", 4101),
        ("null", 4101),
        ('"terminate_session"', 4101),
        ('{"type": "KeepAlive"}', 4101),
        ('{"terminate_session": 1}', 4101),
        ('{"terminate_session": null}', 4101),
        ('{"force_end_utterance": "true"}', 4101),
        ('{"end_utterance_silence_threshold": -1}', 4101),
        ('{"end_utterance_silence_threshold": 20001}', 4101),
        ('{"end_utterance_silence_threshold": 1' + "0" * 5000 + "}", 4101),
        ('{"end_utterance_silence_threshold": 700.5}', 4101),
        ('{"end_utterance_silence_threshold": "700"}', 4101),
        ('{"end_utterance_silence_threshold": true}', 4101),
        ('{"audio_data": 1}', 4101),
        ('{"audio_data": "a"}', 4101),
        ('{"audio_data": "a?b="}', 4101),
        ('{"audio_data": "YWI"}', 4101),
        ('{"audio_data": "é"}', 4101),
        ('{"audio_data": "", "terminate_session": true}', 4034),
        ('{"audio_data": "YQ=="}', 4034),
        (b"", 4034),
        (b"a", 4034),
        (bytes(64_001), 4033),
        (wav(bytes(64_002)), 4033),
    ],
    ids=range(32),
)
def test_messages_that_end_the_session(message, code):
    error, got, reason = ended(connection().receive(message))
    assert (got, reason) == (code, CLOSE[code][0])
    assert error.startswith(reason)


@pytest.mark.parametrize(
    ("query", "longest"), [("sample_rate=16000", 64_000), ("sample_rate=8000&encoding=pcm_mulaw", 16_000)]
)
def test_the_length_of_a_message_is_that_of_its_audio(query, longest):
    for data in (bytes(longest), wav(bytes(longest))):
        assert connection(query).receive(data) == [Hear(data)]
    assert ended(connection(query).receive(bytes(longest + 1)))[1] == 4033


def test_limits_of_a_message_are_the_owners():
    strict = Limits(shortest_frame_ms=100, longest_frame_ms=200)
    for data, code in ((bytes(3198), 4032), (bytes(6402), 4033)):
        assert ended(connection(limits=strict).receive(data))[1] == code
    for length in (3200, 6400):
        assert connection(limits=strict).receive(bytes(length)) == [Hear(bytes(length))]
    detail = "Audio duration is too short: 50 ms in one message, at least 100"
    assert ended(connection(limits=strict).receive(bytes(1600)))[0] == detail
    assert connection(limits=Limits()).receive(bytes(10**6)) == [Hear(bytes(10**6))]


@pytest.mark.parametrize("mulaw", ["", "&encoding=pcm_mulaw"])
def test_one_byte_of_mulaw_is_a_sample(mulaw):
    assert (connection(f"sample_rate=8000{mulaw}").receive(b"a") == [Hear(b"a")]) is bool(mulaw)


def test_receive_header_alone_is_left_to_the_session():
    assert connection().receive(wav(b"")) == [Hear(wav(b""))]


def test_nothing_counts_after_the_end():
    dialect = connection()
    dialect.receive('{"terminate_session": true}')
    for message in (b"ab", b"a", "", "{}", '{"force_end_utterance": true}', '{"terminate_session": true}'):
        assert dialect.receive(message) == []


@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1)])
def test_what_has_no_message(event):
    assert connection().emit(event) == []


def test_a_partial():
    words = (Word("open", 16_007, 17_000, 0.9), Word("the", 17_000, 17_999, 0.5556))
    assert told(connection().emit(Partial(0, "open the", words, 1, 16_100, 20_000))) == [
        {
            "message_type": "PartialTranscript",
            "created": STAMP,
            "audio_start": 1000,
            "audio_end": 1250,
            "confidence": 0.728,
            "text": "open the",
            "words": [
                {"start": 1000, "end": 1062, "confidence": 0.9, "text": "open"},
                {"start": 1062, "end": 1124, "confidence": 0.556, "text": "the"},
            ],
        }
    ]


def test_a_partial_without_words():
    (partial,) = told(connection().emit(Partial(0, "", (), 0, 0, 160)))
    assert (partial["confidence"], partial["words"], partial["audio_end"]) == (0.0, [], 10)


def test_a_final():
    (message,) = told(connection().emit(final()))
    assert message == {
        "message_type": "FinalTranscript",
        "created": STAMP,
        "audio_start": 1000,
        "audio_end": 2820,
        "confidence": 0.5,
        "text": "open the door",
        "words": [{"start": 1000, "end": 2820, "confidence": 0.5, "text": "open the door"}],
        "punctuated": False,
        "text_formatted": True,
    }
    assert next(iter(message)) == "message_type"


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.floats(0, 1)), max_size=5),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
)
def test_types_are_those_that_the_sdk_insists_on(words, start, length):
    event = final(
        "x", words=tuple(Word("x", at, at + more, sure) for at, more, sure in words), start=start, end=start + length
    )
    dialect = connection()
    partial = Partial(0, "x", event.words, 0, start, start + length)
    for message in told(dialect.emit(event)) + told(dialect.emit(partial)):
        assert type(message["audio_start"]) is int
        assert type(message["audio_end"]) is int
        assert all(message["audio_start"] <= word["start"] for word in message["words"][:1])
        for part in (message, *message["words"]):
            assert type(part["confidence"]) is float
            assert 0 <= part["confidence"] <= 1
        for word in message["words"]:
            assert type(word["start"]) is int
            assert type(word["end"]) is int
            assert word["start"] <= word["end"]
        assert "Z" not in message["created"]
        assert "+" not in message["created"]


def test_every_forced_end_has_one_answer():
    dialect = connection()
    assert len(told(dialect.emit(final(cause=Cause.COMMIT)))) == 1
    assert dialect.emit(Committed(45_120, False)) == []
    for empty in (True, False):  # nothing was said; something was heard, but no word
        assert told(dialect.emit(Committed(48_000, empty))) == [
            {
                "message_type": "FinalTranscript",
                "created": STAMP,
                "audio_start": 3000,
                "audio_end": 3000,
                "confidence": 0.0,
                "text": "",
                "words": [],
                "punctuated": False,
                "text_formatted": True,
            }
        ]


def test_a_final_by_silence_does_not_answer_a_forced_end():
    dialect = connection()
    dialect.emit(final(cause=Cause.SILENCE))
    assert told(dialect.emit(Committed(48_000, True)))[0]["text"] == ""


@pytest.mark.parametrize("finished", [True, False])
def test_the_end(finished):
    dialect = connection("sample_rate=16000&enable_extra_session_information=true")
    if finished:
        dialect.receive('{"terminate_session": true}')
    effects = dialect.emit(Closed(199_681))
    assert told(effects) == [
        {"message_type": "SessionInformation", "audio_duration_seconds": 12.48},
        {"message_type": "SessionTerminated"},
    ]
    assert effects[2:] == [Hangup(1000)]


def test_a_client_that_has_terminated_is_not_left_waiting():
    dialect = connection()
    dialect.receive('{"terminate_session": true}')
    for effects in (dialect.fail(Problem(Kind.IDLE)), dialect.emit(Closed(1, Problem(Kind.IDLE)))):
        assert told(effects) == [{"error": "Session idle for too long"}, {"message_type": "SessionTerminated"}]
        assert effects[2:] == [Hangup(4031, "Session idle for too long")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KNOWN = st.sampled_from(
    ["audio_data", "force_end_utterance", "end_utterance_silence_threshold", "terminate_session", "message_type"]
)


@given(
    st.lists(
        st.binary(max_size=60)
        | st.text(st.characters(exclude_categories=[]))
        | JSON.map(json.dumps)
        | st.dictionaries(KNOWN, JSON).map(json.dumps)
    )
)
def test_no_message_breaks_it(messages):
    dialect = connection()
    for message in messages:
        effects = dialect.receive(message)
        assert all(isinstance(one, Hear | Commit | Configure | Finish | Send | Hangup) for one in effects)
        if any(isinstance(one, Send | Hangup) for one in effects):
            assert ended(effects)[1] in (4033, 4034, 4100, 4101)


# tokens


def token(body, headers=None):
    (endpoint,) = AssemblyAIv2.endpoints
    assert (endpoint.method, endpoint.path, endpoint.upload) == ("POST", "/v2/realtime/token", False)
    headers = {"authorization": "key"} if headers is None else headers
    return endpoint.read(Request(endpoint.path, headers, (), body))


@pytest.mark.parametrize("seconds", [60, 480, 360_000])
def test_a_token_is_wanted(seconds):
    wish = token(json.dumps({"expires_in": seconds}).encode())
    assert isinstance(wish, TokenWish)
    assert (wish.keys, wish.realm, wish.lifetime_s) == (("key",), "assemblyai_v2", seconds)
    assert (wish.single_use, wish.longest_s, wish.prefix) == (True, None, "")
    answer = wish.answer('tok"1')
    assert (answer.status, msgspec.json.decode(answer.body)) == (200, {"token": 'tok"1'})


@pytest.mark.parametrize(
    ("headers", "keys"), [({}, ()), ({"authorization": "Bearer abc"}, ("abc",)), ({"authorization": " abc "}, ("abc",))]
)
def test_who_wants_a_token(headers, keys):
    assert token(b'{"expires_in": 60}', headers).keys == keys


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b'{"expires_in": 59}', b'{"expires_in": 360001}', b'{"expires_in": "60"}',
        b'{"expires_in": true}', b'{"expires_in": 60.5}', b'{"expires_in": null}', b"expires_in=60", b"\xff\xfe",
        b'{"x": ' + b"[" * 100_000, b'{"expires_in": 1' + b"0" * 5000 + b"}",
    ],
    ids=range(14),
)  # fmt: skip
def test_bad_requests_for_a_token(body):
    answer = token(body)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.media) == (400, "application/json")
    error = msgspec.json.decode(answer.body)
    assert error.keys() == {"error", "status"}
    assert error["status"] == "error"
    assert error["error"]


@pytest.mark.parametrize("kind", Kind)
def test_tokens_that_are_refused(kind):
    status = {Kind.NO_KEY: 401, Kind.BAD_KEY: 401, Kind.RATE_LIMITED: 429, Kind.NOT_READY: 503,
              Kind.SHUTTING_DOWN: 503}.get(kind, 400)  # fmt: skip
    answer = AssemblyAIv2.endpoints[0].refuse(Problem(kind))
    assert answer.status == status
    assert msgspec.json.decode(answer.body) == {"error": READABLE[kind], "status": "error"}


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
def test_no_request_for_a_token_breaks_it(body):
    assert isinstance(token(body), Answer | TokenWish)


def test_refusals_are_in_band():
    refusal = AssemblyAIv2.refuse(Problem(Kind.NO_KEY), Handshake(PATH, {}, ()))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 0
