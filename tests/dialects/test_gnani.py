import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Encoding, Mode
from appliance.core.problems import READABLE, Kind, Problem
from appliance.dialects.base import Handshake, Hangup, Hear, Opening, Refusal, Send, SessionInfo
from appliance.dialects.gnani import CLOSE, LANGUAGES, RATES, STATUS, Gnani

PATH = "/stt/v3/stream"
NOW = 1_735_787_045.25
STAMP = "2025-01-02T03:04:05.250Z"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def asking(query=(), **headers):
    named = {name.replace("_", "-") if name.startswith("x_") else name: value for name, value in headers.items()}
    return Gnani.open(Handshake(PATH, named, query, limits=Gnani.limits))


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


class Clock:
    now = NOW

    def __call__(self):
        return self.now


def connection(clock=None, **headers):
    dialect = asking(x_api_key_id="key", **headers).dialect
    return dialect, dialect.opening(
        SessionInfo("0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d", "en", "kiosk", clock or Clock())
    )


def final(text="open the door", language="en", segment=0, start=16_000, end=45_120):
    return Final(segment, text, (Word(text, start, end, 0.5),), 0.5, language, start, end, Cause.SILENCE)


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking(x_api_key_id="key")
    assert isinstance(opening, Opening)
    options = opening.options
    assert options.audio == AudioFormat(Encoding.S16LE, 16_000, 1)
    assert options.languages == ("en",)
    assert (options.partial_ms, options.numerals, options.phrases) == (0, False, ())
    assert (options.endpointing.mode, options.endpointing.silence_to_end_ms) == (Mode.VAD, 500)
    assert (opening.keys, opening.limits.flush_s) == (("key",), 0.4)


@pytest.mark.parametrize(
    ("code", "languages"),
    [
        *((code, LANGUAGES[code]) for code in LANGUAGES),
        *((f"{code[:2]}-IN", (code[:2],)) for code in LANGUAGES if len(code) == 5),
        ("en-hi-IN-latn", ("en", "hi")),
        ("en-hi-in-cm", ("hi", "en")),
        ("", ("en",)),
        (" , ", ("en",)),
        (" hi-in ", ("hi",)),
        ("en-IN,hi-IN", ("en", "hi")),
        ("hi-IN , en-IN,ta-IN,", ("hi", "en", "ta")),
        ("hi-IN,hi-IN,en-hi-in-cm", ("hi", "en")),
    ],
)
def test_language_codes(code, languages):
    assert asking(lang_code=code).options.languages == languages


def test_every_documented_language_code_is_known():
    assert set(LANGUAGES) == {
        *("bn-in", "en-in", "gu-in", "hi-in", "kn-in", "ml-in", "mr-in", "pa-in", "ta-in", "te-in"),
        *("en-hi-in-latn", "en-hi-in-cm"),
    }


@pytest.mark.parametrize(
    ("code", "preferred", "languages"),
    [
        ("en-IN,hi-IN,ta-IN", "hi-IN", ("hi", "en", "ta")),
        ("en-IN,hi-IN", "HI-in", ("hi", "en")),
        ("en-IN,hi-IN", "te-IN", ("en", "hi")),
        ("en-IN", "hi-IN", ("en",)),
    ],
)
def test_the_preferred_language_comes_first(code, preferred, languages):
    assert asking(lang_code=code, preferred_language=preferred).options.languages == languages


@pytest.mark.parametrize("rate", RATES)
def test_rates(rate):
    _, effects = connection(x_sample_rate=f" {rate} ")
    assert asking(x_sample_rate=str(rate)).options.audio.rate == rate
    assert told(effects)[0]["config"] == {"sample_rate": rate, "chunk_size": 512}


@pytest.mark.parametrize(
    ("headers", "kind", "detail"),
    [
        ({"lang_code": "fr-FR"}, Kind.UNKNOWN_LANGUAGE, "'fr-FR'"),
        ({"lang_code": "en"}, Kind.UNKNOWN_LANGUAGE, "'en'"),
        ({"lang_code": "en-IN,xx"}, Kind.UNKNOWN_LANGUAGE, "'xx'"),
        ({"lang_code": "x" * 500}, Kind.UNKNOWN_LANGUAGE, "'" + "x" * 40 + "'"),
        ({"x_sample_rate": "22050"}, Kind.BAD_RATE, "'22050'; expected one of 8000, 16000, 44100, 48000"),
        ({"x_sample_rate": "0"}, Kind.BAD_RATE, "'0'"),
        ({"x_sample_rate": "-16000"}, Kind.BAD_RATE, "'-16000'"),
        ({"x_sample_rate": "16000.0"}, Kind.BAD_RATE, "'16000.0'"),
        ({"x_sample_rate": "16e3"}, Kind.BAD_RATE, "'16e3'"),
        ({"x_sample_rate": "16 000"}, Kind.BAD_RATE, "'16 000'"),
        ({"x_sample_rate": "१६०००"}, Kind.BAD_RATE, "१६०००"),
        ({"x_sample_rate": "²"}, Kind.BAD_RATE, "²"),
        ({"x_sample_rate": "16000" * 2000}, Kind.BAD_RATE, "expected one of"),
        ({"x_format": "html"}, Kind.BAD_OPTION, "'html'; expected one of verbatim, transcribe"),
    ],
)
def test_bad_values_are_refused_in_band_with_what_was_expected(headers, kind, detail):
    refusal = asking(x_api_key_id="key", **headers)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 0
    error, hangup = refusal.effects
    message = msgspec.json.decode(error.text)
    assert message.keys() == {"type", "message", "timestamp"}
    assert message["type"] == "error"
    assert message["message"].startswith(READABLE[kind])
    assert detail in message["message"]
    assert hangup.code == 1008
    assert message["message"].startswith(hangup.reason)
    assert len(hangup.reason.encode()) <= 123


@pytest.mark.parametrize(
    ("style", "numerals"), [("", False), ("verbatim", False), ("transcribe", True), (" Transcribe ", True)]
)
def test_formats(style, numerals):
    assert asking(x_format=style).options.numerals is numerals


@pytest.mark.parametrize(
    ("headers", "key"), [({}, None), ({"x_api_key_id": "  "}, None), ({"x_api_key_id": " a b "}, "a b")]
)
def test_the_key_is_for_others_to_judge(headers, key):
    assert asking(**headers).keys == ((key,) if key else ())


def test_browsers_may_use_the_query_and_headers_go_first():
    opening = asking([("X-API-Key-ID", "q"), ("lang_code", "ta-IN"), ("x-sample-rate", "8000")], lang_code="hi-IN")
    assert (opening.keys, opening.options.languages, opening.options.audio.rate) == (("q",), ("hi",), 8_000)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "lang_code",
                "x-sample-rate",
                "x-format",
                "itn_native_numerals",
                "preferred_language",
                "x-api-key-id",
                "x-api-request-id",
            ]
        ),
        st.one_of(st.text(max_size=30), st.sampled_from(["hi-IN,en-IN", "transcribe", "true", "48000"])),
    )
)
def test_no_header_breaks_it(headers):
    found = Gnani.open(Handshake(PATH, headers, ()))
    if isinstance(found, Opening):
        found.dialect.opening(SessionInfo("id", "en", "m", Clock()))
        assert len(found.dialect.emit(final(language=found.options.languages[0]))) == 1
    else:
        assert [type(effect) for effect in found.effects] == [Send, Hangup]


@pytest.mark.parametrize("kind", Kind)
def test_refusals_by_the_server(kind):
    refusal = Gnani.refuse(Problem(kind, "why"), Handshake(PATH, {}, ()))
    account = dict.fromkeys((Kind.BAD_KEY, Kind.QUOTA_EXCEEDED, Kind.NOT_ALLOWED, Kind.TERMS_NOT_ACCEPTED), 403)
    busy = dict.fromkeys((Kind.TOO_MANY_STREAMS, Kind.TOO_MANY_SESSIONS, Kind.RATE_LIMITED), 429)
    away = dict.fromkeys((Kind.NOT_READY, Kind.SHUTTING_DOWN), 503)
    status = ({Kind.NO_KEY: 401} | account | busy | away).get(kind, 0)
    assert refusal.status == status
    assert status == STATUS.get(kind, 0)
    if status:
        assert msgspec.json.decode(refusal.body) == {"type": "error", "message": f"{READABLE[kind]}: why"}
        assert not refusal.effects
    else:
        assert told(refusal.effects[:1])[0]["message"] == f"{READABLE[kind]}: why"
        assert isinstance(refusal.effects[1], Hangup)


# the conversation


@pytest.mark.parametrize(
    ("asked", "said"),
    [("", "req_0f9b2d605c1e"), ("req_0123456789ab", "req_0123456789ab"), (" a ", "a"), ("x" * 500, "x" * 128)],
)
def test_connected(asked, said):
    _, effects = connection(x_api_request_id=asked)
    assert told(effects) == [
        {
            "type": "connected",
            "message": "STT service ready",
            "request_id": said,
            "timestamp": STAMP,
            "config": {"sample_rate": 16_000, "chunk_size": 512},
        }
    ]


@pytest.mark.parametrize(
    ("message", "commands"),
    [(b"\0" * 1024, [Hear(b"\0" * 1024)]), (b"a", [Hear(b"a")]), (b"", []), ("", []), ('{"type":"stop"}', [])],
)
def test_receive(message, commands):
    assert connection()[0].receive(message) == commands


@pytest.mark.parametrize(
    ("event", "types"),
    [
        (SpeechStarted(1), ["speech_start"]),
        (SpeechEnded(1), ["speech_end", "processing"]),
        (Partial(0, "a", (), 0, 0, 1), []),
        (Committed(1, True), []),
    ],
)
def test_marks_carry_their_time_and_nothing_else(event, types):
    assert told(connection()[0].emit(event)) == [{"type": name, "timestamp": STAMP} for name in types]


def test_a_transcript():
    clock = Clock()
    dialect, _ = connection(clock)
    dialect.emit(SpeechEnded(45_120))
    clock.now += 0.29
    (message,) = told(dialect.emit(final()))
    assert UUID.fullmatch(message.pop("segment_id"))
    assert message == {
        "type": "transcript",
        "timestamp": "2025-01-02T03:04:05.540Z",
        "text": "open the door",
        "audio_duration_ms": 1820,
        "segment_index": "0",
        "latency": 290,
        "is_final": True,
    }


def test_segments_have_their_own_names_and_numbers():
    dialect, _ = connection()
    messages = [told(dialect.emit(final(segment=number)))[0] for number in range(3)]
    assert [message["segment_index"] for message in messages] == ["0", "1", "2"]
    assert len({message["segment_id"] for message in messages}) == 3


@pytest.mark.parametrize(("before", "latency"), [(None, 0), (NOW + 5, 0), (NOW - 1.2345, 1234)])
def test_latency_is_never_negative(before, latency):
    clock = Clock()
    dialect, _ = connection(clock)
    if before is not None:
        clock.now = before
        dialect.emit(SpeechEnded(0))
        clock.now = NOW
    assert told(dialect.emit(final()))[0]["latency"] == pytest.approx(latency, abs=1)


@pytest.mark.parametrize(
    ("codes", "language", "detected"),
    [
        ("en-IN", "en", None),
        ("en-hi-IN-latn", "hi", None),
        ("en-IN,hi-IN", "hi", "hi-IN"),
        ("en-IN,hi-IN", "en", "en-IN"),
        ("EN-in,en-hi-in-cm", "hi", "en-hi-in-cm"),
    ],
)
def test_the_detected_language_is_told_where_there_was_a_choice(codes, language, detected):
    (message,) = told(connection(lang_code=codes)[0].emit(final(language=language)))
    assert message.get("language") == message.get("detected_language") == detected


@pytest.mark.parametrize(
    ("headers", "language", "text"),
    [
        ({"lang_code": "hi-IN", "x_format": "transcribe", "itn_native_numerals": "true"}, "hi", "कमरा १०२"),
        ({"lang_code": "hi-IN", "x_format": "transcribe", "itn_native_numerals": "TRUE"}, "hi", "कमरा १०२"),
        ({"lang_code": "hi-IN", "x_format": "transcribe", "itn_native_numerals": "1"}, "hi", "कमरा 102"),
        ({"lang_code": "hi-IN", "x_format": "transcribe"}, "hi", "कमरा 102"),
        ({"lang_code": "hi-IN", "itn_native_numerals": "true"}, "hi", "कमरा 102"),
        ({"lang_code": "en-IN", "x_format": "transcribe", "itn_native_numerals": "true"}, "en", "कमरा 102"),
        ({"lang_code": "hi-IN,en-IN", "x_format": "transcribe", "itn_native_numerals": "true"}, "en", "कमरा 102"),
        ({"lang_code": "en-IN,hi-IN", "x_format": "transcribe", "itn_native_numerals": "true"}, "hi", "कमरा १०२"),
    ],
)
def test_native_digits_are_those_of_the_language_that_was_spoken(headers, language, text):
    (message,) = told(connection(**headers)[0].emit(final("कमरा 102", language)))
    assert message["text"] == text


def test_the_end():
    assert connection()[0].emit(Closed(100)) == [Hangup(1000)]


@pytest.mark.parametrize("kind", Kind)
def test_failures(kind):
    for effects in (
        connection()[0].fail(Problem(kind, "why")),
        connection()[0].emit(Closed(5, Problem(kind, "why"))),
    ):
        error, hangup = effects
        assert told([error]) == [{"type": "error", "message": f"{READABLE[kind]}: why", "timestamp": STAMP}]
        assert hangup.code == {
            Kind.ENGINE_FAILED: 1011,
            Kind.SHUTTING_DOWN: 1012,
            Kind.MESSAGE_TOO_BIG: 1009,
        }.get(kind, 1008)
        assert hangup.code == CLOSE.get(kind, 1008)
        assert len(hangup.reason.encode()) <= 123


def test_a_long_reason_is_cut_between_characters():
    reason = connection()[0].fail(Problem(Kind.BAD_MESSAGE, "आ" * 200))[1].reason
    assert len(reason.encode()) <= 123
    assert "�" not in reason
