import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Changes, Encoding, Endpointing, Limits, Mode, SessionOptions
from appliance.core.problems import READABLE, Kind, Problem
from appliance.dialects.assemblyai_v3 import CANCELLED, WORDS, AssemblyAIv3
from appliance.dialects.assemblyai_v3_query import FIXED, LONGEST_S, UNHONOURED, Ending, Query, Settings, read
from appliance.dialects.base import (
    Answer,
    Commit,
    Configure,
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
from tests.sound import wav_header

PATH = "/v3/ws"
NOW = 1_735_787_045.25
SESSION = "0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d"
OWN = Endpointing(threshold=0.55, hangover_ms=200, longest_ms=20_000)


def handshake(query=(), headers=None, limits=AssemblyAIv3.limits, **parameters):
    asked = [*query, *parameters.items()]
    return Handshake(PATH, {"authorization": "key"} if headers is None else headers, asked, OWN, limits)


def asking(*args, **parameters):
    return AssemblyAIv3.open(handshake(*args, **parameters))


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


class Clock:
    now = NOW

    def __call__(self):
        return self.now


def connection(*args, clock=None, language="en", **parameters):
    dialect = asking(*args, **parameters).dialect
    return dialect, told(dialect.opening(SessionInfo(SESSION, language, "kiosk", clock or Clock())))


def words(text, start=16_000):
    return tuple(Word(word, start + 4_007 * i, start + 4_007 * i + 3_999, 0.5) for i, word in enumerate(text.split()))


def partial(text="open the", stable=1, segment=0, start=16_000):
    return Partial(segment, text, words(text), stable, start, 45_000)


def final(text="open the door", segment=0, cause=Cause.SILENCE, language="en", start=16_000):
    return Final(segment, text, words(text), 0.5, language, start, 45_120, cause)


def update(**settings):
    return json.dumps({"type": "UpdateConfiguration", **settings})


def refused(code, reason):
    return [{"type": "Error", "error_code": code, "error": reason}], Hangup(code, reason.encode()[:123].decode())


def ended(effects):
    return told(effects[:-1]), effects[-1]


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking()
    assert isinstance(opening, Opening)
    assert opening.options == SessionOptions(
        audio=AudioFormat(Encoding.S16LE, 16_000, 1),
        languages=(),
        endpointing=structs.replace(OWN, mode=Mode.VAD, silence_to_end_ms=752),
        partial_ms=250,
        numerals=False,
    )
    assert opening.keys == ("key",)
    assert opening.limits == Limits(longest_s=10_800, fast_s=60, longest_frame_ms=1_000)
    assert (opening.resume, opening.id_header) == (None, "")


@pytest.mark.parametrize(
    ("parameters", "silence_ms"),
    [
        ({}, 752),
        ({"speech_model": "universal-streaming-english"}, 752),
        ({"speech_model": "whisper-rt"}, 752),
        ({"speech_model": "u3-rt-pro"}, 460),
        ({"speech_model": "U3-pro"}, 460),
        ({"speech_model": "universal-3-6-pro"}, 460),
        ({"speech_model": "universal-3-6-pro", "min_turn_silence": "100", "max_turn_silence": "100"}, 100),
        ({"end_of_turn_confidence_threshold": "0"}, 400),
        ({"end_of_turn_confidence_threshold": "1.0"}, 1280),
        ({"end_of_turn_confidence_threshold": "0.7", "min_turn_silence": "800", "max_turn_silence": "3600"}, 2760),
        ({"end_of_turn_confidence_threshold": "1.0", "min_turn_silence": "160"}, 1280),
        ({"min_end_of_turn_silence_when_confident": "160"}, 608),
        ({"min_end_of_turn_silence_when_confident": "160", "min_turn_silence": "400"}, 752),
        ({"max_turn_silence": "200"}, 200),
        ({"min_turn_silence": "2000"}, 1280),
        ({"min_turn_silence": "0", "max_turn_silence": "0"}, 0),
        ({"max_turn_silence": "2147483647"}, 60_000),
    ],
)
def test_the_silence_that_ends_a_turn(parameters, silence_ms):
    assert asking(**parameters).options.endpointing.silence_to_end_ms == silence_ms


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.floats(0, 1), st.floats(0, 1))
def test_more_certainty_takes_more_silence(least, most, some, more):
    short, long = (Ending(least, most, threshold).silence_ms for threshold in sorted((some, more)))
    assert 0 <= short <= most
    if least <= most:
        assert min(least, 60_000) <= short <= long <= 60_000


@pytest.mark.parametrize(
    ("asked", "threshold"), [({}, 0.55), ({"vad_threshold": "0"}, 0.0), ({"vad_threshold": "1"}, 1)]
)
def test_the_threshold_of_the_detector_is_the_owners_unless_asked_for(asked, threshold):
    assert asking(**asked).options.endpointing.threshold == threshold


@pytest.mark.parametrize(
    ("asked", "audio"),
    [
        ({"sample_rate": "8000"}, AudioFormat(rate=8_000)),
        ({"sample_rate": "44100", "encoding": "pcm_s16le"}, AudioFormat(rate=44_100)),
        ({"sample_rate": "96000"}, AudioFormat(rate=96_000)),
        ({"sample_rate": "", "encoding": ""}, AudioFormat()),
        ({"sample_rate": "8000", "encoding": "pcm_mulaw"}, AudioFormat(Encoding.MULAW, 8_000)),
        ({"sample_rate": "48000", "encoding": "ogg_opus"}, AudioFormat()),
    ],
)
def test_audio(asked, audio):
    assert asking(**asked).options.audio == audio


@pytest.mark.parametrize(
    ("asked", "numerals"),
    [
        ({}, False),
        ({"format_turns": "False"}, False),
        ({"format_turns": ""}, False),
        ({"format_turns": "True"}, True),
        ({"format_turns": "true"}, True),
        ({"format_turns": "1"}, True),
        ({"speech_model": "u3-rt-pro"}, True),
        ({"speech_model": "u3-rt-pro", "format_turns": "false"}, True),
    ],
)
def test_formatted_text_has_digits(asked, numerals):
    assert asking(**asked).options.numerals is numerals


@pytest.mark.parametrize(
    ("asked", "partial_ms"),
    [
        ({"include_partial_turns": "true"}, 250),
        ({"include_partial_turns": "False"}, 0),
        ({"redact_pii": "false"}, 250),
    ],
)
def test_partials(asked, partial_ms):
    assert asking(**asked).options.partial_ms == partial_ms


@pytest.mark.parametrize(
    ("asked", "languages"),
    [
        ({"speech_model": "universal-streaming-multilingual"}, ()),
        ({"speech_model": "anything"}, ()),
        ({"language": "en"}, ("en",)),
        ({"language": "multi"}, ()),
        ({"language": "multi", "language_code": "es"}, ("es",)),
        ({"language_code": "en-US"}, ("en",)),
        ({"language_code": "PT_br"}, ("pt",)),
        ({"language_code": "es", "language_codes": '["de", "fr-CA", "de-AT"]'}, ("de", "fr")),
        ({"language_codes": "hi"}, ("hi",)),
        ({"language_codes": '["multi"]'}, ()),
        ({"language_codes": "[]"}, ()),
        ({"language_codes": '[" "]', "language_code": "es"}, ()),
        ({"language_codes": '["yue"]'}, ("yue",)),
    ],
)
def test_languages(asked, languages):
    assert asking(**asked).options.languages == languages


@pytest.mark.parametrize(
    ("asked", "idle_s"),
    [
        ({}, None),
        ({"inactivity_timeout": "5"}, 5.0),
        ({"inactivity_timeout": "3600"}, 3600.0),
        ({"inactivity_timeout": ""}, None),
    ],
)
def test_idleness_is_limited_on_demand(asked, idle_s):
    assert asking(**asked).limits == structs.replace(AssemblyAIv3.limits, idle_s=idle_s)


@pytest.mark.parametrize(
    ("own", "asked", "idle_s"),
    [(30.0, {}, 30.0), (30.0, {"inactivity_timeout": "60"}, 30.0), (30.0, {"inactivity_timeout": "10"}, 10.0)],
)
def test_what_the_owner_has_limited_stays_so(own, asked, idle_s):
    limits = Limits(idle_s=own, fast_s=None, longest_s=100.0)
    assert asking(limits=limits, **asked).limits == structs.replace(limits, idle_s=idle_s)


@pytest.mark.parametrize(
    ("token", "headers", "keys"),
    [
        ("", {}, ()),
        ("", {"authorization": " "}, ()),
        ("", {"authorization": " key "}, ("key",)),
        ("", {"authorization": "Bearer key"}, ("key",)),
        ("tok", {}, ("tok",)),
        (" tok ", {"authorization": "key"}, ("tok", "key")),
    ],
)
def test_the_keys_are_for_others_to_judge(token, headers, keys):
    assert asking(headers=headers, token=token).keys == keys


@pytest.mark.parametrize(
    ("asked", "kind", "detail"),
    [
        ({"sample_rate": "7999"}, Kind.BAD_OPTION, "sample_rate: Expected `int` >= 8000"),
        ({"sample_rate": "96001"}, Kind.BAD_OPTION, "sample_rate: Expected `int` <= 96000"),
        ({"sample_rate": "-1"}, Kind.BAD_OPTION, "sample_rate"),
        ({"sample_rate": "9" * 5_000}, Kind.BAD_OPTION, "sample_rate"),
        ({"encoding": "opus"}, Kind.BAD_ENCODING, "opus; expected pcm_s16le or pcm_mulaw or aac or ogg_opus"),
        ({"encoding": "x" * 500}, Kind.BAD_ENCODING, "x" * 60 + ";"),
        ({"inactivity_timeout": "4"}, Kind.BAD_OPTION, "inactivity_timeout: Expected `int` >= 5"),
        ({"inactivity_timeout": "3601"}, Kind.BAD_OPTION, "inactivity_timeout: Expected `int` <= 3600"),
        ({"max_speakers": "0"}, Kind.BAD_OPTION, "max_speakers"),
        ({"vad_threshold": "nan"}, Kind.BAD_OPTION, "vad_threshold"),
        ({"vad_threshold": "inf"}, Kind.BAD_OPTION, "vad_threshold"),
        ({"end_of_turn_confidence_threshold": "1.01"}, Kind.BAD_OPTION, "end_of_turn_confidence_threshold"),
        ({"min_turn_silence": "-1"}, Kind.BAD_OPTION, "min_turn_silence"),
        ({"max_turn_silence": "2147483648"}, Kind.BAD_OPTION, "max_turn_silence"),
        ({"format_turns": "yes"}, Kind.BAD_OPTION, "format_turns"),
        (
            {"keyterms_prompt": json.dumps(["x"] * 101)},
            Kind.BAD_OPTION,
            "keyterms_prompt: Expected `array` of length <= 100",
        ),
        (
            {"keyterms_prompt": json.dumps(["x" * 51])},
            Kind.BAD_OPTION,
            "keyterms_prompt[0]: Expected `str` of length <= 50",
        ),
        ({"keyterms": json.dumps(["x" * 51])}, Kind.BAD_OPTION, "keyterms_prompt[0]"),
        ({"keyterms_prompt": "[" * 100_000}, Kind.BAD_OPTION, "keyterms_prompt is no JSON array"),
        ({"keyterms_prompt": '["'}, Kind.BAD_OPTION, "keyterms_prompt is no JSON array"),
        ({"language_codes": "[true]"}, Kind.BAD_OPTION, "language_codes[0]"),
        ({"language_codes": json.dumps(["en"] * 11)}, Kind.BAD_OPTION, "language_codes"),
        ({"language_codes": '["multi", "en"]'}, Kind.BAD_OPTION, "multi stands alone"),
        ({"language_codes": '{"en": 1}'}, Kind.UNKNOWN_LANGUAGE, '{"en": 1}'),
        ({"language_code": "english"}, Kind.UNKNOWN_LANGUAGE, "english"),
        ({"language": "e"}, Kind.UNKNOWN_LANGUAGE, "e"),
    ],
)
def test_bad_parameters_are_told_in_band(asked, kind, detail):
    refusal = asking(**asked)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 0
    (error,), hangup = ended(refusal.effects)
    assert error["error_code"] == hangup.code == 3006
    assert error["error"].startswith(f"Invalid Message: {READABLE[kind]}: ")
    assert detail in error["error"]
    assert len(error["error"]) < 250
    assert error["error"].startswith(hangup.reason)


@pytest.mark.parametrize(
    "keyterms",
    [
        json.dumps(["x" * 50] * 100),
        json.dumps(["a", "ü" * 50]),
        "[]",
        "Zephyr",
        # what the Python SDK 0.48 makes of a list
        str(["Zephyr"]),
        str(["it's", 'a "b"', "c\\d, e]", ""]),
        str(["x" * 50] * 100),
    ],
)
def test_keyterms_that_are_good(keyterms):
    assert isinstance(asking(keyterms_prompt=keyterms), Opening)
    assert isinstance(asking(keyterms=keyterms), Opening)


@pytest.mark.parametrize("keyterms", [["a"], ["it's", 'a "b"'], ["ü, ]"]])
def test_keyterms_as_json_or_as_python_writes_them(keyterms):
    for text in (json.dumps(keyterms), str(keyterms)):
        assert read([("keyterms_prompt", text)]).keyterms_prompt == tuple(keyterms)


@pytest.mark.parametrize("keyterms", [str(["x"] * 101), str(["x" * 51]), "['a'", "['a' 'b']", "[a]", "['a\\']"])
def test_keyterms_that_are_not(keyterms):
    (error,), _ = ended(asking(keyterms_prompt=keyterms).effects)
    assert "keyterms_prompt" in error["error"]


NAMES = [*Settings.__struct_fields__, *Query.__struct_fields__, "token", "keyterms", "mode", "_new"]
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["True", "16000", "0.4", "nan", '["en"]', "[", "[[]]", "null", "1e999", "pcm_mulaw", "u3-rt-pro"]),
    st.integers().map(str),
    st.floats().map(str),
    st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps),
)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6),
    st.dictionaries(st.sampled_from(["authorization", "user-agent"]), st.text(max_size=30)),
)
@example([("language_code", "\ud800"), ("encoding", "\ud800")], {})
@example([("keyterms_prompt", "[\ud800")], {})
def test_no_handshake_breaks_it(query, headers):
    found = asking(query, headers)
    if isinstance(found, Opening):
        messages = told(found.dialect.opening(SessionInfo(SESSION, "en", "m", Clock())))
        assert messages[0]["type"] == "Begin"
        ends = [message["end_of_turn"] for message in told(found.dialect.emit(final())) if message["type"] == "Turn"]
        assert ends in ([True], [True, True])
        # what goes to the session's process is read strictly there
        assert msgspec.convert(msgspec.to_builtins(found.options), SessionOptions) == found.options
    else:
        assert [type(effect) for effect in found.effects] == [Send, Hangup]


# refusals and failures

ALL = [
    (Kind.NO_KEY, 1008, "Unauthorized Connection: Missing Authorization header"),
    *(
        (kind, 1008, f"Unauthorized Connection: {READABLE[kind]}: why")
        for kind in (Kind.BAD_KEY, Kind.RATE_LIMITED, Kind.QUOTA_EXCEEDED, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED)
    ),
    (Kind.TOO_MANY_SESSIONS, 3009, "Unauthorized Connection: Too many concurrent sessions"),
    (Kind.TOO_MANY_STREAMS, 3009, f"Unauthorized Connection: {READABLE[Kind.TOO_MANY_STREAMS]}: why"),
    *(
        (kind, 3006, f"Invalid Message: {READABLE[kind]}: why")
        for kind in (Kind.BAD_RATE, Kind.BAD_ENCODING, Kind.BAD_OPTION, Kind.BAD_MESSAGE, Kind.BAD_AUDIO)
    ),
    *(
        (kind, 3006, f"Invalid Message: {READABLE[kind]}: why")
        for kind in (Kind.MESSAGE_TOO_BIG, Kind.UNKNOWN_LANGUAGE, Kind.NO_MODEL)
    ),
    (Kind.TOO_LONG, 3008, "Session Expired: Maximum session duration exceeded"),
    (Kind.IDLE, 3008, f"Session Expired: {READABLE[Kind.IDLE]}: why"),
    *(
        (kind, 3005, f"Session Cancelled: {READABLE[kind]}: why")
        for kind in (
            *(Kind.NOT_READY, Kind.QUEUE_OVERFLOW, Kind.CLIENT_TOO_SLOW, Kind.ENGINE_FAILED, Kind.SHUTTING_DOWN),
            *(Kind.UNKNOWN_SESSION, Kind.SESSION_CLOSED, Kind.SESSION_EXPIRED, Kind.SESSION_TAKEN),
            Kind.SESSION_REPLACED,
        )
    ),
]


def test_every_problem_has_words():
    assert {kind for kind, _, _ in ALL} == set(Kind) - {Kind.TOO_FAST}
    assert {code for code, _ in (*WORDS.values(), CANCELLED)} == {1008, 3005, 3006, 3007, 3008, 3009}


@pytest.mark.parametrize(("kind", "code", "reason"), ALL)
def test_problems(kind, code, reason):
    problem = Problem(kind, "why")
    for effects in (
        AssemblyAIv3.refuse(problem, handshake()).effects,
        connection()[0].fail(problem),
        connection()[0].emit(Closed(5, problem)),
    ):
        assert ended(effects) == refused(code, reason)


def test_too_fast_says_how_much_in_what_time():
    clock = Clock()
    dialect, _ = connection(clock=clock, sample_rate="8000", encoding="pcm_mulaw")
    for _ in range(100):
        assert dialect.receive(bytes(8_000)) == [Hear(bytes(8_000))]
    clock.now += 61.24
    reason = "Audio Transmission Rate Exceeded: Received 100.0 sec. audio in 61.2 sec"
    assert ended(dialect.fail(Problem(Kind.TOO_FAST))) == refused(3007, reason)


def test_a_problem_may_hold_braces():
    assert "{0} {x}" in told(connection()[0].fail(Problem(Kind.BAD_KEY, "{0} {x}"))[:1])[0]["error"]


# begin


@pytest.mark.parametrize(
    ("limits", "expires_at"),
    [
        (AssemblyAIv3.limits, 1_735_797_845),
        (Limits(longest_s=60.5), 1_735_787_105),
        (Limits(longest_s=86_400), 1_735_787_045 + 86_400),
        (Limits(longest_s=float("inf")), 1_735_787_045 + 2_000_000),
        (Limits(), 1_735_787_045 + LONGEST_S),
    ],
)
def test_begin(limits, expires_at):
    _, messages = connection(limits=limits)
    assert messages == [{"type": "Begin", "id": SESSION, "expires_at": expires_at}]
    assert type(messages[0]["expires_at"]) is int


def test_what_is_not_had_is_told_after_begin():
    asked = dict.fromkeys(UNHONOURED, "true")
    _, (begin, *warnings) = connection(**asked)
    assert begin["type"] == "Begin"
    assert warnings == [
        {"type": "Warning", "warning_code": 1, "warning": f"{name}: {what}"} for name, what in UNHONOURED.items()
    ]


def test_everything_to_be_warned_of_can_be_asked_for():
    assert set(UNHONOURED) | set(FIXED) <= set(Query.__struct_fields__)


@pytest.mark.parametrize("asked", [{"speaker_labels": "False"}, {"keyterms_prompt": "[]"}, {"language_codes": "hi"}])
def test_nothing_to_warn_of(asked):
    assert len(connection(**asked)[1]) == 1


@pytest.mark.parametrize(
    ("agent", "warnings"),
    [("AssemblyAI/1.0 (integration=Pipecat/1.14.0)", 0), ("AssemblyAI/1.0 (integration=Livekit)", 1), ("", 1)],
)
def test_who_takes_warnings_for_errors_gets_none(agent, warnings):
    dialect, messages = connection(headers={"user-agent": agent}, speaker_labels="true")
    assert len(messages) == 1 + warnings
    assert len(dialect.receive(update(filter_profanity=True))) == warnings


# from the client


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (b"\0" * 3_200, [Hear(b"\0" * 3_200)]),
        (b"a", [Hear(b"a")]),
        (b"", []),
        (b"\0" * 32_000, [Hear(b"\0" * 32_000)]),
        ('{"type":"ForceEndpoint"}', [Commit()]),
        ('{"type": "KeepAlive", "more": [1, {}]}', [KeepAlive()]),
        ('{"type":"Terminate"}', [Finish()]),
        ('{"type":"UpdateConfiguration"}', []),
    ],
)
def test_receive(message, commands):
    assert connection()[0].receive(message) == commands


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "Invalid JSON: "),
        ("hello", "Invalid JSON: hello"),
        ("{" * 100_000, "Invalid JSON: " + "{" * 60),
        ('{"a":' + "[" * 100_000, 'Invalid JSON: {"a":' + "[" * 55),
        ("\ud800", "Invalid JSON: ?"),
        ("[]", "Invalid Message: []"),
        ("12", "Invalid Message: 12"),
        ("{}", "Invalid Message: {}"),
        ('{"terminate_session":true}', 'Invalid Message: {"terminate_session":true}'),
        ('{"type":1}', 'Invalid Message: {"type":1}'),
        ('{"type":"terminate"}', "Invalid Message Type: terminate"),
        ('{"type":""}', "Invalid Message Type: "),
        (json.dumps({"type": "x" * 500}), "Invalid Message Type: " + "x" * 60),
    ],
)
def test_messages_that_are_none(message, reason):
    assert ended(connection()[0].receive(message)) == refused(3006, reason)


def test_frame_of_longest_duration_with_wav_header_is_taken():
    dialect, _ = connection()
    frame = wav_header(AudioFormat()) + bytes(32_000)
    assert dialect.receive(frame) == [Hear(frame)]


@pytest.mark.parametrize(
    ("limits", "size", "expected"),
    [
        (AssemblyAIv3.limits, 32_002, "1000.1 ms. Expected between 0 and 1000 ms"),
        (Limits(shortest_frame_ms=50, longest_frame_ms=1_000), 1_598, "49.9 ms. Expected between 50 and 1000 ms"),
        (Limits(shortest_frame_ms=50, longest_frame_ms=1_000), 64_000, "2000.0 ms. Expected between 50 and 1000 ms"),
        (Limits(shortest_frame_ms=50), 2, "0.1 ms. Expected between 50 and inf ms"),
    ],
)
def test_frames_that_are_too_short_or_too_long(limits, size, expected):
    dialect, _ = connection(limits=limits)
    assert ended(dialect.receive(bytes(size))) == refused(3007, f"Input Duration Error: {expected}")


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        (Limits(shortest_frame_ms=50, longest_frame_ms=1_000), 1_600),
        (Limits(shortest_frame_ms=50), 640_000),
        (Limits(), 640_000),
    ],
)
def test_the_owner_sets_the_limits_of_a_frame(limits, size):
    assert connection(limits=limits)[0].receive(bytes(size)) == [Hear(bytes(size))]


def test_nothing_counts_after_terminate():
    dialect, _ = connection()
    dialect.receive('{"type":"Terminate"}')
    for message in (b"\0" * 99_999, "not JSON", '{"type":"Foo"}', '{"type":"Terminate"}', update(format_turns=True)):
        assert dialect.receive(message) == []


def ends(silence_ms=752, threshold=0.55):
    return structs.replace(OWN, mode=Mode.VAD, silence_to_end_ms=silence_ms, threshold=threshold)


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({"end_of_turn_confidence_threshold": 1}, Changes(endpointing=ends(1_280))),
        ({"min_turn_silence": 160}, Changes(endpointing=ends(608))),
        ({"min_end_of_turn_silence_when_confident": 160}, Changes(endpointing=ends(608))),
        ({"max_turn_silence": 400}, Changes(endpointing=ends(400))),
        ({"vad_threshold": 0.3}, Changes(endpointing=ends(threshold=0.3))),
        ({"format_turns": True}, Changes(numerals=True)),
        ({"format_turns": True, "max_turn_silence": 400}, Changes(endpointing=ends(400), numerals=True)),
    ],
)
def test_settings_change_once(settings, changes):
    dialect, _ = connection()
    assert dialect.receive(update(**settings)) == [Configure(changes)]
    assert dialect.receive(update(**settings)) == []


def test_settings_that_are_not_mentioned_stay():
    dialect, _ = connection(min_turn_silence="160", vad_threshold="0.3")
    dialect.receive(update(end_of_turn_confidence_threshold=0.5))
    (configure,) = dialect.receive(update(max_turn_silence=3_600))
    assert configure.changes.endpointing == ends(1_880, 0.3)


@pytest.mark.parametrize(
    "settings",
    [
        dict.fromkeys(Settings.__struct_fields__),
        {"format_turns": False, "filter_profanity": False, "keyterms_prompt": [], "language_codes": []},
        {"prompt": 1, "agent_context": ["x"], "interruption_delay": "soon", "unheard_of": {}},
        {"language_codes": ["en-GB", "es"]},
    ],
)
def test_settings_that_change_nothing(settings):
    assert connection()[0].receive(update(**settings)) == []


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"min_turn_silence": "400"}, "min_turn_silence: Expected `int | null`, got `str`"),
        ({"max_turn_silence": 400.5}, "max_turn_silence"),
        ({"max_turn_silence": -1}, "max_turn_silence: Expected `int` >= 0"),
        ({"max_turn_silence": 10**400}, "max_turn_silence"),
        ({"format_turns": "true"}, "format_turns"),
        ({"vad_threshold": 1.1}, "vad_threshold: Expected `float` <= 1.0"),
        ({"keyterms_prompt": "Zephyr"}, "keyterms_prompt"),
        ({"keyterms_prompt": ["x" * 51]}, "keyterms_prompt[0]"),
        ({"language_codes": ["multi", "en"]}, "language_codes: multi stands alone"),
    ],
)
def test_settings_that_are_wrong(settings, detail):
    (error,), hangup = ended(connection()[0].receive(update(**settings)))
    assert (error["error_code"], hangup.code) == (3006, 3006)
    assert error["error"].startswith(f"Invalid Message: {READABLE[Kind.BAD_OPTION]}: {detail}")


def test_a_language_that_is_none():
    (error,), hangup = ended(connection()[0].receive(update(language_codes=["klingon"])))
    assert (error["error"], hangup.code) == (f"Invalid Message: {READABLE[Kind.UNKNOWN_LANGUAGE]}: klingon", 3006)


def test_each_warning_comes_once():
    dialect, _ = connection(keyterms_prompt='["a"]', language="hi")
    assert dialect.receive(update(keyterms_prompt=["b"])) == []
    (warning,) = told(dialect.receive(update(keyterms_prompt=["b"], language_codes=["en", "es"])))
    assert warning["warning"] == f"language_codes: {FIXED['language_codes']}"
    assert dialect.receive(update(language_codes=["es"])) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
TYPES = st.sampled_from(["UpdateConfiguration", "KeepAlive", "ForceEndpoint", "Foo"]) | JSON


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=100),
            st.text(st.characters(), max_size=50),
            JSON.map(json.dumps),
            st.builds(
                lambda kind, more: json.dumps({**more, "type": kind}),
                TYPES,
                st.dictionaries(st.sampled_from(Settings.__struct_fields__), JSON, max_size=3),
            ),
        ),
        max_size=5,
    )
)
@example(['{"type":"\\ud800"}', '{"type":"UpdateConfiguration","vad_threshold":NaN}'])
def test_no_message_breaks_it(messages):
    dialect, _ = connection()
    for message in messages:
        effects = dialect.receive(message)
        for effect in effects:
            if isinstance(effect, Configure):
                msgspec.convert(msgspec.to_builtins(effect.changes), Changes)
            elif isinstance(effect, Send):
                assert told([effect])[0]["type"] in ("Error", "Warning")
            elif isinstance(effect, Hangup):
                assert effect is effects[-1]
                assert len(effect.reason.encode()) <= 123


# turns


def test_a_turn_grows():
    (turn,) = told(connection()[0].emit(partial("open the do", stable=2)))
    assert turn == {
        "type": "Turn",
        "turn_order": 0,
        "turn_is_formatted": False,
        "end_of_turn": False,
        "transcript": "open the",
        "utterance": "",
        "end_of_turn_confidence": 0.0,
        "words": [
            {"text": "open", "start": 1000, "end": 1249, "confidence": 0.5, "word_is_final": True},
            {"text": "the", "start": 1250, "end": 1500, "confidence": 0.5, "word_is_final": True},
            {"text": "do", "start": 1500, "end": 1750, "confidence": 0.5, "word_is_final": False},
        ],
    }
    assert all(type(word[key]) is int for word in turn["words"] for key in ("start", "end"))


def test_a_turn_ends():
    (turn,) = told(connection()[0].emit(final(segment=3)))
    settled = [word.pop("word_is_final") for word in turn["words"]]
    assert settled == [True, True, True]
    assert {key: value for key, value in turn.items() if key != "words"} == {
        "type": "Turn",
        "turn_order": 3,
        "turn_is_formatted": False,
        "end_of_turn": True,
        "transcript": "open the door",
        "utterance": "open the door",
        "end_of_turn_confidence": 0.4,
    }


def test_a_formatted_turn_ends_twice():
    raw, formatted = told(connection(format_turns="true")[0].emit(final()))
    assert (raw["turn_is_formatted"], formatted["turn_is_formatted"]) == (False, True)
    assert (raw.pop("utterance"), formatted.pop("utterance")) == ("open the door", "")
    assert {**raw, "turn_is_formatted": True} == formatted


def test_a_turn_of_a_newer_model_ends_once_and_is_formatted():
    for asked in ("true", "false"):
        dialect, _ = connection(speech_model="u3-rt-pro", format_turns=asked)
        _, turn = told(dialect.emit(final()))
        assert (turn["end_of_turn"], turn["turn_is_formatted"], turn["end_of_turn_confidence"]) == (True, True, 1.0)
        assert dialect.receive(update(format_turns=False)) == []


@pytest.mark.parametrize(
    ("parameters", "cause", "confidence"),
    [
        ({}, Cause.SILENCE, 0.4),
        ({"end_of_turn_confidence_threshold": "0.7"}, Cause.SILENCE, 0.7),
        ({"end_of_turn_confidence_threshold": "0"}, Cause.SILENCE, 0.0),
        ({"min_turn_silence": "500", "max_turn_silence": "500"}, Cause.SILENCE, 1.0),
        ({"max_turn_silence": "100"}, Cause.SILENCE, 1.0),
        ({}, Cause.COMMIT, 1.0),
        ({}, Cause.FINISH, 1.0),
        ({}, Cause.LONGEST, 1.0),
        ({"speech_model": "u3-rt-pro"}, Cause.SILENCE, 1.0),
    ],
)
def test_the_confidence_of_an_end_reaches_the_threshold(parameters, cause, confidence):
    turn = told(connection(**parameters)[0].emit(final(cause=cause)))[-1]
    assert turn["end_of_turn_confidence"] == confidence


def test_the_confidence_follows_the_settings():
    dialect, _ = connection()
    dialect.receive(update(end_of_turn_confidence_threshold=0.9))
    assert told(dialect.emit(final()))[0]["end_of_turn_confidence"] == 0.9


@pytest.mark.parametrize("model", ["", "universal-streaming-english", "universal-streaming-multilingual", "whisper-rt"])
def test_older_models_do_not_tell_that_speech_started(model):
    dialect, _ = connection(speech_model=model)
    assert dialect.emit(SpeechStarted(1)) == []
    assert [message["type"] for message in told(dialect.emit(partial()))] == ["Turn"]


def test_newer_models_tell_that_speech_started_once_a_turn():
    dialect, _ = connection(speech_model="universal-3-5-pro", vad_threshold="0.3")
    heard = [partial(start=8_007), partial(stable=2), final(), final(segment=1, start=32_000)]
    started = [effect for event in heard for effect in told(dialect.emit(event)) if effect["type"] == "SpeechStarted"]
    assert started == [
        {"type": "SpeechStarted", "timestamp": 500, "confidence": 0.3},
        {"type": "SpeechStarted", "timestamp": 2000, "confidence": 0.3},
    ]


@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1), Committed(1, True), Committed(1, False)])
def test_what_is_not_told(event):
    assert connection(speech_model="u3-rt-pro")[0].emit(event) == []


@pytest.mark.parametrize("format_turns", ["true", "false"])
def test_the_language_comes_with_a_confidence_or_not_at_all(format_turns):
    dialect, _ = connection(language_detection="True", format_turns=format_turns)
    for turn in told(dialect.emit(final(language="hi"))):
        assert (turn["language_code"], turn["language_confidence"]) == ("hi", 1.0)
    (growing,) = told(dialect.emit(partial()))
    (plain,) = told(connection()[0].emit(final(language="hi")))
    for turn in (growing, plain):
        assert not {"language_code", "language_confidence"} & turn.keys()


# the end


@pytest.mark.parametrize(
    ("audio", "later", "told_audio", "told_session"),
    [(0, 0.0, 0, 0), (200_000, 14.4, 12, 14), (208_001, 13.6, 13, 14), (16_000, -5.0, 1, 0)],
)
def test_the_end_has_whole_seconds(audio, later, told_audio, told_session):
    clock = Clock()
    dialect, _ = connection(clock=clock)
    dialect.receive('{"type":"Terminate"}')
    clock.now += later
    messages, hangup = ended(dialect.emit(Closed(audio)))
    assert messages == [
        {"type": "Termination", "audio_duration_seconds": told_audio, "session_duration_seconds": told_session}
    ]
    assert all(type(value) is int for key, value in messages[0].items() if key != "type")
    assert hangup == Hangup(1000)


def test_an_end_that_the_client_did_not_ask_for_is_an_error():
    reason = "Session Cancelled: The server is shutting down"
    assert ended(connection()[0].emit(Closed(16_000))) == refused(3005, reason)


# tokens

(TOKEN,) = AssemblyAIv3.endpoints


def wish(headers=None, **query):
    return TOKEN.read(Request(TOKEN.path, headers or {}, list(query.items())))


def test_a_token():
    wanted = wish({"authorization": "Bearer key"}, expires_in_seconds="60", max_session_duration_seconds="600")
    assert isinstance(wanted, TokenWish)
    assert (wanted.keys, wanted.realm, wanted.prefix) == (("key",), AssemblyAIv3.realm, "")
    assert (wanted.lifetime_s, wanted.longest_s, wanted.single_use) == (60, 600, True)
    answer = wanted.answer("tok")
    assert (answer.status, answer.media) == (200, "application/json")
    assert json.loads(answer.body) == {"token": "tok", "expires_in_seconds": 60}


def test_a_token_without_a_length_is_good_for_the_longest_session():
    assert wish(expires_in_seconds="600").longest_s is None
    assert wish(expires_in_seconds="1").keys == ()
    assert wish(expires_in_seconds="60", max_session_duration_seconds="").longest_s is None


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"expires_in_seconds": ""},
        {"expires_in_seconds": "0"},
        {"expires_in_seconds": "601"},
        {"expires_in_seconds": "1.5"},
        {"expires_in_seconds": "60", "max_session_duration_seconds": "59"},
        {"expires_in_seconds": "60", "max_session_duration_seconds": "10801"},
    ],
)
def test_a_bad_request_for_a_token(query):
    answer = wish({"authorization": "key"}, **query)
    assert isinstance(answer, Answer)
    body = json.loads(answer.body)
    assert answer.status == 400
    assert body.keys() == {"error", "code", "details"}
    assert body["error"].startswith(READABLE[Kind.BAD_OPTION])
    assert (body["code"], body["details"]) == ("bad_option", {})


@pytest.mark.parametrize("kind", Kind)
def test_a_token_is_refused(kind):
    answer = TOKEN.refuse(Problem(kind, "why"))
    status = {
        **dict.fromkeys([Kind.NO_KEY, Kind.BAD_KEY, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED], 401),
        **dict.fromkeys([Kind.RATE_LIMITED, Kind.QUOTA_EXCEEDED], 429),
        **dict.fromkeys([Kind.BAD_OPTION, Kind.MESSAGE_TOO_BIG], 400),
    }
    assert answer.status == status.get(kind, 500)
    assert json.loads(answer.body) == {"error": f"{READABLE[kind]}: why", "code": kind.value, "details": {}}


@given(st.lists(st.tuples(st.sampled_from(["expires_in_seconds", "max_session_duration_seconds", "x"]), VALUES)))
def test_no_request_for_a_token_breaks_it(query):
    assert isinstance(TOKEN.read(Request(TOKEN.path, {}, query)), TokenWish | Answer)


def test_where_it_is():
    assert (AssemblyAIv3.name, AssemblyAIv3.realm, AssemblyAIv3.paths) == (
        "assemblyai_v3",
        "assemblyai_v3",
        ("/v3/ws",),
    )
    assert (TOKEN.method, TOKEN.path, TOKEN.upload) == ("GET", "/v3/token", False)
