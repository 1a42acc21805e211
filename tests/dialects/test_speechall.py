import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Encoding, Endpointing, Mode
from appliance.core.problems import Kind, Problem
from appliance.dialects.base import (
    Answer,
    Handshake,
    Hangup,
    Hear,
    Opening,
    Refusal,
    Request,
    Send,
    SessionInfo,
    Transcript,
    Upload,
)
from appliance.dialects.speechall import CLOSE, RAW_MEDIA, RETRY_S, STATUS, Speechall
from appliance.dialects.speechall_query import JSON, LANGUAGES, Form

PATH = "/v1/transcribe"
(POST,) = Speechall.endpoints
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
MODEL = ("model", "deepgram.nova-2")


def asking(*query, endpointing=Endpointing(), **headers):  # noqa: B008
    return Speechall.open(Handshake(PATH, headers, (MODEL, *query), endpointing, Speechall.limits))


def posting(*query, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return POST.read(Request(PATH, named, (MODEL, *query)))


def connection(form=Form.TEXT, *query):
    dialect = asking(("api_key", "key"), ("output_format", form), *query).dialect
    assert dialect.opening(SessionInfo("0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d", "de", "kiosk", float)) == []
    return dialect


def final(text="open the door", start=2_880, end=15_680, confidence=0.94, language="en", segment=0):
    words = tuple(Word(word, start + i, end, 0.97531) for i, word in enumerate(text.split()))
    return Final(segment, text, words, confidence, language, start, end, Cause.SILENCE)


def partial(text="open"):
    return Partial(0, text, (Word(text, 1_600, 6_400, 1.0),), 0, 0, 8_000)


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects]


# what may be asked


def test_what_is_asked_for_by_default():
    opening = asking(("api_key", "key"), endpointing=Endpointing(mode=Mode.MANUAL, threshold=0.7))
    assert isinstance(opening, Opening)
    options = opening.options
    assert options.audio == AudioFormat(Encoding.S16LE, 16_000, 1)
    assert options.languages == ("en",)
    assert (options.partial_ms, options.numerals, options.phrases, options.acknowledge) == (0, False, (), False)
    assert options.endpointing == Endpointing(mode=Mode.VAD, silence_to_end_ms=700, threshold=0.7)
    assert (opening.keys, opening.limits.flush_s) == (("key",), 1.5)


@pytest.mark.parametrize(
    ("query", "headers", "keys"),
    [
        ((), {}, ()),
        ((("api_key", ""),), {"authorization": "Bearer "}, ()),
        ((), {"authorization": "Basic abc"}, ()),
        ((("api_key", " a "),), {}, ("a",)),
        ((), {"authorization": "Bearer b"}, ("b",)),
        ((), {"authorization": "bearer  b "}, ("b",)),
        ((("api_key", "a"),), {"authorization": "Bearer b"}, ("b", "a")),
    ],
)
def test_keys(query, headers, keys):
    assert asking(*query, **headers).keys == keys
    assert posting(*query, **headers).keys == keys


@pytest.mark.parametrize(
    ("code", "languages"),
    [
        *((code, (code,)) for code in LANGUAGES - {"jw"}),
        ("jw", ("jv",)),
        ("auto", ()),
        ("AUTO", ()),
        ("", ("en",)),
        ("en_us", ("en",)),
        ("en_uk", ("en",)),
        ("en_au", ("en",)),
        ("EN-US", ("en",)),
        ("pt-BR", ("pt",)),
        ("zh_Hant_TW", ("zh",)),
    ],
)
def test_languages(code, languages):
    assert asking(("language", code)).options.languages == languages
    assert posting(("language", code)).options.languages == languages


@pytest.mark.parametrize("code", ["xx", "english", "_en", "e", "auto mobile", "en us"])
def test_other_languages(code):
    refusal = asking(("language", code))
    assert (refusal.status, msgspec.json.decode(refusal.body)["code"]) == (400, "invalid_request_error")
    assert posting(("language", code)).status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "whisper"),
        ("output_format", "json_text"),
        ("punctuation", "True"),
        ("punctuation", "0"),
        ("diarization", "true"),
        ("temperature", "0"),
        ("temperature", "1.0"),
        ("temperature", ""),
        ("speakers_expected", "1"),
        ("speakers_expected", "10"),
        ("initial_prompt", "any"),
        ("ruleset_id", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        ("ruleset_id", ""),
        ("custom_vocabulary", "one"),
        ("custom_vocabulary", "one,two words"),
        ("custom_vocabulary", '["one", "two, three"]'),
        ("custom_vocabulary", ' ["one"]'),
        ("custom_vocabulary", "[]"),
        ("timestamp_granularity", "word"),
    ],
)
def test_good_values(name, value):
    assert isinstance(asking((name, value)), Opening)
    assert isinstance(posting((name, value)), Upload)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_format", "JSON"),
        ("output_format", "x" * 10_000),
        ("punctuation", "yes"),
        ("diarization", "2"),
        ("interim_results", "maybe"),
        ("temperature", "-0.1"),
        ("temperature", "1.1"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("speakers_expected", "0"),
        ("speakers_expected", "11"),
        ("speakers_expected", "2.5"),
        ("ruleset_id", "mine"),
        ("custom_vocabulary", "[1]"),
        ("custom_vocabulary", '["one"'),
        ("custom_vocabulary", "[" * 100_000),
    ],
)
def test_bad_values_are_named(name, value):
    for refusal in (asking((name, value)), posting((name, value))):
        assert refusal.status == 400
        error = msgspec.json.decode(refusal.body)
        assert error["code"] == "invalid_request_error"
        assert name in error["message"]
        assert len(error["message"]) < 300


@pytest.mark.parametrize("query", [(), (("model", ""),)])
def test_a_model_has_to_be_named(query):
    refusal = Speechall.open(Handshake(PATH, {}, query))
    assert refusal.status == 400
    assert "model" in refusal.body
    assert POST.read(Request(PATH, {}, query)).status == 400


@pytest.mark.parametrize("form", Form)
def test_interim_results_only_where_a_message_can_say_so(form):
    assert asking(("output_format", form)).options.partial_ms == 0
    asked = asking(("output_format", form), ("interim_results", "true"))
    assert (asked.options.partial_ms > 0) is (form in JSON)


names = st.sampled_from(["model", "language", "output_format", "temperature", "custom_vocabulary", "punctuation", "x"])
texts = st.text(alphabet=st.characters(exclude_categories=()))


@given(
    st.lists(st.tuples(names | texts, texts)),
    st.dictionaries(st.sampled_from(["authorization", "content-type"]), texts),
)
def test_no_request_is_too_odd(query, headers):
    assert isinstance(Speechall.open(Handshake(PATH, headers, query)), Opening | Refusal)
    assert isinstance(POST.read(Request(PATH, headers, query)), Upload | Answer)


# refusals


@pytest.mark.parametrize("kind", Kind)
def test_refusals(kind):
    problem = Problem(kind, "why")
    refusal, answer = Speechall.refuse(problem, Handshake(PATH, {}, ())), POST.refuse(problem)
    status, code = STATUS.get(kind, (400, "invalid_request_error"))
    assert (refusal.status, refusal.body, refusal.headers) == (answer.status, answer.body, answer.headers)
    assert refusal.status == status
    assert msgspec.json.decode(refusal.body) == {"message": problem.message, "code": code}
    assert dict(refusal.headers) == ({"Retry-After": str(RETRY_S)} if status in (429, 503) else {})
    assert answer.media == "application/json"


def test_only_documented_statuses_and_codes():
    documented = {
        (401, "unauthenticated"),
        (402, "payment_required"),
        (404, "not_found"),
        (429, "rate_limit_exceeded"),
        (500, "internal_server_error"),
        (503, "service_unavailable"),
    }
    assert set(STATUS.values()) == documented


# the stream


@pytest.mark.parametrize(
    ("message", "commands"),
    [(b"\0" * 8192, [Hear(b"\0" * 8192)]), (b"a", [Hear(b"a")]), (b"", []), ("", []), ('{"type":"stop"}', [])],
)
def test_receive(message, commands):
    assert connection().receive(message) == commands


@given(st.text() | st.binary())
def test_receive_never_raises(message):
    assert all(isinstance(one, Hear) for one in connection().receive(message))


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1), Committed(1, True), partial()])
def test_what_is_not_told(form, event):
    assert connection(form).emit(event) == []


def test_text():
    dialect = connection()
    assert dialect.emit(final("open the door")) == [Send("open the door")]
    assert dialect.emit(final("please")) == [Send("please")]


@pytest.mark.parametrize("form", [Form.JSON, Form.VERBOSE_JSON])
def test_json(form):
    (message,) = told(connection(form).emit(final("open the", language="fr")))
    assert UUID.fullmatch(message.pop("id"))
    assert message == {
        "text": "open the",
        "language": "fr",
        "words": [
            {"word": "open", "text": "open", "start": 0.18, "end": 0.98, "confidence": 0.9753},
            {"word": "the", "text": "the", "start": 0.18, "end": 0.98, "confidence": 0.9753},
        ],
        "segments": [{"start": 0.18, "end": 0.98, "text": "open the", "confidence": 0.94}],
    }


def test_json_text():
    (message,) = told(connection(Form.JSON_TEXT).emit(final()))
    assert message.keys() == {"id", "text"}
    assert message["text"] == "open the door"


def test_every_utterance_has_its_own_id():
    dialect = connection(Form.JSON_TEXT)
    assert len({told(dialect.emit(final()))[0]["id"] for _ in range(5)}) == 5


@pytest.mark.parametrize("form", JSON)
def test_interim_results(form):
    dialect = connection(form, ("interim_results", "true"))
    first, second, last = (told(dialect.emit(event))[0] for event in (partial(), partial("open the"), final()))
    (following,) = told(dialect.emit(partial()))
    assert [one["is_final"] for one in (first, second, last, following)] == [False, False, True, False]
    assert first["id"] == second["id"] == last["id"] != following["id"]
    assert [one["text"] for one in (first, second, last)] == ["open", "open the", "open the door"]
    if form is not Form.JSON_TEXT:
        assert first["language"] == "de"
        assert "confidence" not in first["segments"][0]
        assert last["segments"][0]["confidence"] == 0.94


def test_srt_is_a_cue_a_message():
    dialect = connection(Form.SRT)
    assert dialect.emit(final("open", 2_880, 15_680)) == [Send("1\n00:00:00,180 --> 00:00:00,980\nopen\n\n")]
    later = 16_000 * (3_600 * 2 + 60 * 3 + 4)
    assert dialect.emit(final("the", later, later + 16)) == [Send("2\n02:03:04,000 --> 02:03:04,001\nthe\n\n")]


def test_vtt_begins_once():
    dialect = connection(Form.VTT)
    assert dialect.emit(final("open", 2_880, 15_680)) == [Send("WEBVTT\n\n00:00:00.180 --> 00:00:00.980\nopen\n\n")]
    assert dialect.emit(final("the", 15_680, 15_687)) == [Send("00:00:00.980 --> 00:00:00.980\nthe\n\n")]


@pytest.mark.parametrize("form", Form)
def test_the_end(form):
    assert connection(form).emit(Closed(100)) == [Hangup(1000)]


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", Kind)
def test_failures(kind, form):
    problem = Problem(kind, "why")
    for effects in (connection(form).fail(problem), connection(form).emit(Closed(5, problem))):
        *words, hangup = effects
        assert (hangup.code, hangup.reason) == (CLOSE.get(kind, 1008), problem.message)
        _, code = STATUS.get(kind, (400, "invalid_request_error"))
        assert told(words) == ([{"message": problem.message, "code": code}] if form in JSON else [])


# POST


def test_an_upload():
    upload = posting(("api_key", "key"), ("language", "de"), content_type="audio/wav")
    assert upload.raw is None
    assert upload.options.languages == ("de",)
    assert upload.options.partial_ms == 0
    assert (upload.options.endpointing.mode, upload.options.endpointing.silence_to_end_ms) == (Mode.VAD, 700)
    assert POST.upload
    assert (POST.method, POST.path) == ("POST", PATH)


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        *((media, AudioFormat()) for media in RAW_MEDIA),
        ("Audio/PCM", AudioFormat()),
        ("audio/L16;rate=8000", AudioFormat(rate=8_000)),
        ('audio/L16; rate="8000"; channels = "2"', AudioFormat(rate=8_000, channels=2)),
        ("audio/l16; rate=44100; channels=2", AudioFormat(rate=44_100, channels=2)),
        ("audio/pcm; charset=utf-8; x", AudioFormat()),
        ("audio/*", None),
        ("audio/wav", None),
        ("application/x-www-form-urlencoded", None),
        ("", None),
        (";", None),
    ],
)
def test_what_need_not_be_a_file(content_type, raw):
    assert posting(content_type=content_type).raw == raw


@pytest.mark.parametrize("parameter", ["rate=7", "rate=", "rate=x", "channels=0", "channels=9"])
def test_rates_that_are_none(parameter):
    answer = posting(content_type=f"audio/pcm; {parameter}")
    assert answer.status == 400
    assert "8000" in answer.body


FINALS = (final("open the", 2_880, 15_680), final("door", 32_000, 40_000, segment=1))
ANSWERS = {
    Form.TEXT: "open the door",
    Form.SRT: "1\n00:00:00,180 --> 00:00:00,980\nopen the\n\n2\n00:00:02,000 --> 00:00:02,500\ndoor\n\n",
    Form.VTT: "WEBVTT\n\n00:00:00.180 --> 00:00:00.980\nopen the\n\n00:00:02.000 --> 00:00:02.500\ndoor\n\n",
}


@pytest.mark.parametrize("form", ANSWERS)
def test_plain_answers(form):
    answer = posting(("output_format", form)).answer(Transcript(FINALS, 48_000, "en"))
    assert (answer.status, answer.media, answer.body) == (200, "text/plain", ANSWERS[form])


@pytest.mark.parametrize("form", JSON)
def test_json_answers(form):
    answer = posting(("output_format", form), ("interim_results", "true")).answer(Transcript(FINALS, 48_000, "en"))
    assert (answer.status, answer.media) == (200, "application/json")
    body = msgspec.json.decode(answer.body)
    assert UUID.fullmatch(body.pop("id"))
    assert body.pop("text") == "open the door"
    if form is Form.JSON_TEXT:
        assert body == {}
        return
    assert [word["word"] for word in body["words"]] == ["open", "the", "door"]
    assert [(segment["start"], segment["text"]) for segment in body["segments"]] == [(0.18, "open the"), (2.0, "door")]
    assert body["language"] == "en"


@pytest.mark.parametrize("form", Form)
def test_nothing_was_said(form):
    answer = posting(("output_format", form)).answer(Transcript((), 48_000, "en"))
    assert answer.status == 200
    if form in JSON:
        assert msgspec.json.decode(answer.body)["text"] == ""
    else:
        assert answer.body == ("WEBVTT\n\n" if form is Form.VTT else "")
