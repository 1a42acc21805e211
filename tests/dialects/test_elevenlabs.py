import base64
import json
import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from appliance.core.events import Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import AudioFormat, Encoding, Endpointing, Limits, Mode, SessionOptions
from appliance.core.problems import READABLE, Kind, Problem
from appliance.dialects.base import (
    Answer,
    Commit,
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
from appliance.dialects.elevenlabs import CHUNK_BYTES, FAILURES, STATUS, ElevenLabs
from appliance.dialects.elevenlabs_query import CODES, EXCLUSIVE, FORMATS, LISTS, MODELS, NOT_YET, Query
from tests.sound import wav_header

PATH = "/v1/speech-to-text/realtime"
MODEL = ("model_id", "scribe_v2_realtime")
OWN = Endpointing(pre_roll_ms=111, hangover_ms=222, threshold=0.33, min_volume=0.01, silence_to_end_ms=777)
ERRORS = {
    *("auth_error", "quota_exceeded", "unaccepted_terms", "rate_limited", "resource_exhausted", "queue_overflow"),
    *("session_time_limit_exceeded", "input_error", "chunk_size_exceeded", "insufficient_audio_activity"),
    *("transcriber_error", "error", "invalid_request"),
}
"""Every error of the service; ``commit_throttled`` comes besides."""


def asking(*query, headers=None, limits=ElevenLabs.limits, **more):
    pairs = (MODEL, *query, *more.items())
    return ElevenLabs.open(Handshake(PATH, headers or {}, pairs, OWN, limits))


def connection(*query, limits=ElevenLabs.limits, **more):
    """A codec that has said what it says first, and what that was."""
    opening = asking(*query, limits=limits, **more)
    assert isinstance(opening, Opening), opening
    session = SessionInfo("0f9b2d60-5c1e-4c55-9a0e-6f0d5a1b2c3d", "en", "kiosk", float)
    return opening.dialect, told(opening.dialect.opening(session))


def told(effects):
    return [msgspec.json.decode(effect.text) for effect in effects if isinstance(effect, Send)]


def chunk(audio=b"", commit=False, **more):
    message = {"message_type": "input_audio_chunk", "audio_base_64": base64.b64encode(audio).decode(), "commit": commit}
    return json.dumps({**message, **more})


def final(text="open the door", cause=Cause.COMMIT, end=16_000, language="en", words=()):
    return Final(0, text, words, 0.5, language, 0, end, cause)


def refused(effects):
    """(message_type, error, code, reason) of what ends a connection."""
    (error,) = told(effects[:1])
    _, closing = effects
    assert isinstance(closing, Hangup)
    assert error == {"message_type": error["message_type"], "error": error["error"], "message": error["error"]}
    return error["message_type"], error["error"], closing.code, closing.reason


# handshakes


def test_what_is_asked_for_by_default():
    opening = asking()
    assert opening.options == SessionOptions(
        audio=AudioFormat(Encoding.S16LE, 16_000, 1),
        endpointing=structs.replace(OWN, mode=Mode.MANUAL, longest_ms=90_000),
    )
    assert (opening.keys, opening.resume, opening.limits) == ((), None, Limits(idle_s=12, longest_s=10_800))


def test_limits_are_those_of_the_handshake():
    assert asking(limits=Limits(idle_s=3)).limits == Limits(idle_s=3)


@pytest.mark.parametrize("model", MODELS)
def test_models(model):
    assert connection(model_id=model)[1][0]["config"]["model_id"] == model


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        *((f"pcm_{rate}", AudioFormat(rate=rate)) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)),
        ("ulaw_8000", AudioFormat(Encoding.MULAW, 8_000)),
    ],
)
def test_formats(name, audio):
    opening = asking(audio_format=name)
    assert opening.options.audio == audio
    config = connection(audio_format=name)[1][0]["config"]
    assert (config["audio_format"], config["sample_rate"]) == (name, audio.rate)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"encoding": "pcm_48000"}, "pcm_48000"),
        ({"encoding": "pcm_48000", "audio_format": "pcm_8000"}, "pcm_8000"),
        ({"encoding": "linear16"}, "pcm_16000"),
        ({"audio_format": ""}, "pcm_16000"),
        ({"audio_format": "pcm_8000", "sample_rate": "nonsense", "": "x"}, "pcm_8000"),
    ],
)
def test_the_other_name_of_the_format_and_names_that_are_not_known(query, name):
    assert asking(**query).options.audio == FORMATS[name]


def test_vad():
    opening = asking(commit_strategy="vad")
    wanted = structs.replace(
        OWN, threshold=0.4, min_speech_ms=100, min_silence_ms=100, silence_to_end_ms=1500, longest_ms=90_000
    )
    assert opening.options.endpointing == wanted


@pytest.mark.parametrize(
    ("name", "lowest", "highest", "below", "above", "field", "factor"),
    [
        ("vad_silence_threshold_secs", "0.3", "3.0", "0.29", "3.01", "silence_to_end_ms", 1000),
        ("vad_threshold", "0.1", "0.9", "0.09", "0.91", "threshold", 1),
        ("min_speech_duration_ms", "50", "2000", "49", "2001", "min_speech_ms", 1),
        ("min_silence_duration_ms", "50", "2000", "49", "2001", "min_silence_ms", 1),
    ],
)
def test_ranges_of_the_four_parameters(name, lowest, highest, below, above, field, factor):
    for value in (lowest, highest):
        endpointing = asking(commit_strategy="vad", **{name: value}).options.endpointing
        assert getattr(endpointing, field) == pytest.approx(float(value) * factor)
        msgspec.convert(structs.asdict(endpointing), Endpointing)  # the session takes it
        assert asking(**{name: value}).options.endpointing == asking().options.endpointing  # not in manual mode
    for value in (below, above, "nan", "inf", "-1", "x", "²", "9" * 500):
        kind, error, code, _ = refused(asking(commit_strategy="vad", **{name: value}).effects)
        assert (kind, code) == ("invalid_request", 1008)
        assert error.endswith(f"$.{name}`"), error


@pytest.mark.parametrize(
    ("code", "language"),
    [
        *(("en", "en"), ("eng", "en"), ("ENG", "en"), (" en ", "en"), ("deu", "de"), ("zho", "zh"), ("cmn", "zh")),
        *(("fil", "tl"), ("yue", "yue"), ("eo", "eo"), ("bre", "br")),
    ],
)
def test_languages(code, language):
    assert asking(language_code=code).options.languages == (language,)
    assert connection(language_code=code)[1][0]["config"]["language_code"] == language


def test_no_language_is_any_language():
    assert asking(language_code="").options.languages == ()


def test_the_table_of_languages():
    """Every code of ISO 639-1, each with one of 639-3; none is a region or a name."""
    assert all(re.fullmatch("[a-z]{3}", code) for code in CODES)
    assert len({code for code in CODES.values() if len(code) == 2}) == 183
    assert {"en", "de", "hi", "ru", "uk", "fa", "ky", "tg", "uz"} <= set(CODES.values())


@pytest.mark.parametrize("code", ["en-US", "xx", "english", "auto", "e", "qqq", "１", "\ud800", "x" * 5000])
@pytest.mark.parametrize("name", ["language_code", "secondary_languages"])
def test_unknown_languages(name, code):
    kind, error, code, reason = refused(asking(**{name: code}).effects)
    assert (kind, code, reason) == ("invalid_request", 1008, "invalid_request")
    assert error.startswith(READABLE[Kind.UNKNOWN_LANGUAGE])
    assert len(error) < 200


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ([("model_id", "")], None),
        ([("model_id", "scribe_v2")], "'scribe_v2'; expected one of scribe_v2_realtime,"),
        ([("model_id", "\ud800" * 99)], "model_id"),
        ([("audio_format", "mp3")], "'mp3'; expected one of pcm_8000,"),
        ([("commit_strategy", "turn_prediction")], "expected one of manual, vad"),
        ([("entity_redaction_mode", "x")], "expected one of redacted,"),
        ([("include_timestamps", "yes")], "$.include_timestamps"),
        ([("enable_logging", "2")], "$.enable_logging"),
        ([("keyterms", "x" * 21)], "length <= 20"),
        ([("keyterms", "x")] * 51, "length <= 50"),
        ([("entity_detection", "E Mail")], "$.entity_detection"),
        ([("entity_redaction", "x" * 101)], "$.entity_redaction"),
        ([("transcript_edit", "x" * 2001)], "$.transcript_edit"),
    ],
)
def test_bad_parameters(query, complaint):
    opening = asking(*query)
    if complaint is None:  # an empty value is none
        assert isinstance(opening, Opening)
        return
    kind, error, code, reason = refused(opening.effects)
    assert (kind, code, reason) == ("invalid_request", 1008, "invalid_request")
    assert complaint in error


def test_the_model_must_be_named():
    assert "model_id" in refused(ElevenLabs.open(Handshake(PATH, {}, ())).effects)[1]


VALUES = {
    "filter_background_audio": "true",
    "include_timestamps": "true",
    "transcript_edit": "x",
    "entity_detection": "all",
    "entity_redaction": "financial_id.payment_card",
}


@pytest.mark.parametrize(("one", "other"), EXCLUSIVE)
def test_what_cannot_be_combined(one, other):
    assert isinstance(asking(**{one: VALUES[one]}), Opening)
    assert isinstance(asking(**{other: VALUES[other]}), Opening)
    _, error, _, _ = refused(asking(**{one: VALUES[one], other: VALUES[other]}).effects)
    assert f"{one} cannot be combined with {other}" in error


@pytest.mark.parametrize(
    ("tokens", "header", "keys"),
    [
        ([], None, ()),
        ([], " ", ()),
        ([], " key ", ("key",)),
        (["t"], None, ("t",)),
        (["t"], "key", ("t",)),
        ([""], "key", ("key",)),
    ],
)
def test_a_token_decides_before_the_key(tokens, header, keys):
    headers = {} if header is None else {"xi-api-key": header}
    assert asking(*(("token", token) for token in tokens), headers=headers).keys == keys


parameters = st.sampled_from([*Query.__struct_fields__, "token", "encoding", "x"])
anything = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["scribe_v2_realtime", "true", "false", "1", "0.5", "500", "vad", "eng", "pcm_8000", "all", "nan", "1e999"]
)


@given(st.lists(st.tuples(parameters | st.text(), anything)), st.dictionaries(st.text(), anything))
def test_no_handshake_breaks_it(query, headers):
    found = ElevenLabs.open(Handshake(PATH, headers, (MODEL, *query)))
    if isinstance(found, Opening):
        assert told(found.dialect.opening(SessionInfo("id", "en", "m", float)))[0]["message_type"] == "session_started"
        msgspec.convert(structs.asdict(found.options.endpointing), Endpointing)
    else:
        assert refused(found.effects)[0] == "invalid_request"


# problems


@pytest.mark.parametrize("kind", Kind)
def test_problems_before_and_during_a_session(kind):
    problem = Problem(kind, "why")
    word, code = FAILURES.get(kind, ("error", 1011))
    for effects in (
        ElevenLabs.refuse(problem, Handshake(PATH, {}, ())).effects,
        connection()[0].fail(problem),
        connection()[0].emit(Closed(5, problem)),
    ):
        reason = "" if word == "auth_error" else word
        assert refused(effects) == (word, f"{READABLE[kind]}: why", code, reason)
        assert word in ERRORS


def test_every_error_of_the_service_has_a_cause():
    assert {word for word, _ in FAILURES.values()} == ERRORS


def test_only_some_errors_close_with_a_code_that_makes_sdks_report_a_second_one():
    others = {word for word, code in FAILURES.values() if code != 1000}
    assert others == {"invalid_request", "transcriber_error", "error"}


# the first messages


def test_session_started():
    _, messages = connection(language_code="eng", enable_logging="false", keyterms="mill")
    assert messages[0]["session_id"] == "0f9b2d605c1e4c559a0e6f0d5a1b2c3d"
    config = messages[0]["config"]
    assert (config["language_code"], config["enable_logging"], config["disable_logging"]) == ("en", False, True)
    assert (config["vad_commit_strategy"], config["timestamps_granularity"]) == (False, "word")
    assert (config["keyterms"], config["entity_detection"]) == (["mill"], None)
    assert connection(commit_strategy="vad")[1][0]["config"]["vad_commit_strategy"] is True


def test_what_is_no_text_is_repeated_as_something_else():
    assert connection(keyterms="\ud800")[1][0]["config"]["keyterms"] == ["?"]


@pytest.mark.parametrize("name", NOT_YET)
def test_what_is_not_honoured_is_said(name):
    value = {**VALUES, "keyterms": "mill", "secondary_languages": "de"}.get(name, "true")
    _, (_, warning) = connection(**{name: value})
    assert warning == {"message_type": "warning", "warning": f"{name} is not honoured here: {NOT_YET[name]}"}
    if name not in LISTS and name != "transcript_edit":
        assert len(connection(**{name: "false"})[1]) == 1


# what a client says


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (chunk(b"abcd", sample_rate=16_000), [Hear(b"abcd")]),
        (chunk(b"abcd", sample_rate="16000"), [Hear(b"abcd")]),
        ('{"audio_base_64": "YWJj\\nZA==\\n"}', [Hear(b"abcd")]),
        ('{"audio_base_64": "\\r\\nYWJj\\r\\n ZA=="}', [Hear(b"abcd")]),
        (chunk(b"a"), [Hear(b"a")]),
        (chunk(), [KeepAlive()]),
        (chunk(sample_rate=None, previous_text=None), [KeepAlive()]),
        (chunk(bytes(9_600), commit=True), [Hear(bytes(9_600)), Commit()]),
        ('{"audio_base_64": "YWI=", "commit": null, "sample_rate": 16000.0, "more": [1]}', [Hear(b"ab")]),
    ],
)
def test_chunks(message, commands):
    assert connection()[0].receive(message) == commands


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\0\0", "as base64"),
        *((text, "") for text in ("", "hello", "[]", "1", "null", "{}", "\ud800", "[" * 100_000, "NaN")),
        ('{"audio_base_64": null}', "audio_base_64"),
        ('{"audio_base_64": "AA", "commit": false}', "not base64"),
        ('{"audio_base_64": "ÄÖÜß"}', "not base64"),
        ('{"audio_base_64": "AAAA", "commit": "true"}', "commit"),
        ('{"audio_base_64": "AAAA", "x": ' + "[" * 100_000 + "}", ""),
        ('{"audio_base_64": "AAAA", "sample_rate": ' + "9" * 5000 + "}", ""),
        (chunk(b"ab", sample_rate=8_000), "sample_rate 8000 does not fit audio_format pcm_16000"),
        (chunk(b"ab", sample_rate=1e300), "sample_rate"),
        (chunk(b"ab", previous_text=5), "previous_text"),
        (chunk(b"ab", message_type="input_audio"), "'input_audio'; expected input_audio_chunk"),
        (chunk(b"ab", message_type=""), "expected input_audio_chunk"),
    ],
)
def test_messages_that_are_none(message, complaint):
    kind, error, code, reason = refused(connection()[0].receive(message))
    assert (kind, code, reason) == ("input_error", 1000, "input_error")
    assert complaint in error


@pytest.mark.parametrize(
    ("before", "text", "answer"),
    [
        ([], "The mill.", "warning"),
        ([chunk()], "The mill.", "warning"),
        ([chunk(previous_text="The mill.")], "And the weir.", "warning"),
        ([chunk(b"ab")], "The mill.", "input_error"),
        ([chunk(b"ab")], "", None),
        ([chunk(b"ab")], None, None),
    ],
)
def test_context_comes_with_the_first_audio(before, text, answer):
    dialect, _ = connection()
    for message in before:
        dialect.receive(message)
    said = dialect.receive(chunk(b"cd", previous_text=text))
    assert [message["message_type"] for message in told(said)] == ([answer] if answer else [])
    assert (Hear(b"cd") in said) is (answer != "input_error")


@pytest.mark.parametrize("above", [0, 3])
def test_the_largest_chunk(above):
    said = connection()[0].receive(chunk(bytes(CHUNK_BYTES // 3 * 3 + above)))
    if above:
        assert refused(said)[::2] == ("chunk_size_exceeded", 1000)
    else:
        assert [type(one) for one in said] == [Hear]


def test_the_owner_may_set_a_smaller_chunk():
    dialect, _ = connection(limits=Limits(longest_frame_ms=75), audio_format="ulaw_8000")
    assert dialect.receive(chunk(bytes(600))) == [Hear(bytes(600))]
    assert refused(dialect.receive(chunk(bytes(603))))[0] == "chunk_size_exceeded"


@pytest.mark.parametrize("name", FORMATS)
def test_a_commit_needs_three_tenths_of_a_second(name):
    least = FORMATS[name].bytes_per_second * 3 // 10
    dialect, _ = connection(audio_format=name)
    dialect.receive(chunk(bytes(least - FORMATS[name].frame_bytes)))
    (answer,) = told(dialect.receive(chunk(commit=True)))
    assert answer["message_type"] == "commit_throttled"
    assert answer["error"] == answer["message"]
    assert Commit() in dialect.receive(chunk(bytes(FORMATS[name].frame_bytes), commit=True))
    assert told(dialect.receive(chunk(commit=True)))[0]["message_type"] == "commit_throttled"
    dialect.receive(chunk(bytes(least)))
    assert dialect.receive(chunk(commit=True)) == [Commit()]


@pytest.mark.parametrize(
    ("cause", "heard_s", "end_s", "accepted"),
    [
        (Cause.LONGEST, 90, 90, False),
        (Cause.LONGEST, 90.3, 90, True),
        (Cause.SILENCE, 11.5, 10, False),  # the silence that ended it, 1.5 s, went with it
        (Cause.SILENCE, 11.79, 10, False),
        (Cause.SILENCE, 11.8, 10, True),
        (Cause.SILENCE, 10, 30, False),  # never more than there was
    ],
)
def test_commits_of_the_server_count(cause, heard_s, end_s, accepted):
    dialect, _ = connection(commit_strategy="vad")
    for _ in range(10):
        dialect.receive(chunk(bytes(round(heard_s * 3_200))))
    dialect.emit(final(cause=cause, end=round(end_s * 16_000)))
    assert (dialect.receive(chunk(commit=True)) == [Commit()]) is accepted


def test_a_final_that_comes_late_takes_nothing_from_a_newer_commit():
    dialect, _ = connection(commit_strategy="vad")
    assert Commit() in dialect.receive(chunk(bytes(64_000), commit=True))
    dialect.emit(final(cause=Cause.SILENCE, end=100))
    assert told(dialect.receive(chunk(commit=True)))[0]["message_type"] == "commit_throttled"


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["message_type", "audio_base_64", "commit", "sample_rate", "previous_text"]
messages = st.dictionaries(st.sampled_from(FIELDS), json_like | st.sampled_from(["input_audio_chunk", "AAAA", 16_000]))


@given(st.lists(st.one_of(st.binary(), st.text(), json_like.map(json.dumps), messages.map(json.dumps))))
def test_no_message_breaks_it(texts):
    dialect, _ = connection()
    for text in texts:
        said = dialect.receive(text)
        assert said
        assert not told(said) or isinstance(said[-1], Hangup | Hear | KeepAlive) or "throttled" in said[-1].text


# what the session tells


@pytest.mark.parametrize("event", [SpeechStarted(1), SpeechEnded(1), Partial(0, "", (), 0, 0, 1)])
def test_events_without_a_message(event):
    assert connection()[0].emit(event) == []


def test_the_end():
    assert connection()[0].emit(Closed(100)) == [Hangup(1000)]


@pytest.mark.parametrize(
    ("events", "texts"),
    [
        ([final("a"), Committed(1, False)], ["a"]),
        ([Committed(1, True)], [""]),
        ([Committed(1, False)], [""]),  # something was heard, but no word
        ([final("a", Cause.LONGEST), Committed(1, True)], ["a", ""]),
        ([final("a", Cause.LONGEST), final("b"), Committed(1, False)], ["a", "b"]),
        ([final("a", Cause.SILENCE), Committed(1, True)], ["a", ""]),
        ([final("a"), Committed(1, False), Committed(2, True)], ["a", ""]),
        ([final("a"), Committed(1, False), final("b", Cause.FINISH)], ["a", "b"]),
    ],
)
@pytest.mark.parametrize("timed", [False, True])
def test_exactly_one_answer_to_each_commit(events, texts, timed):
    dialect, _ = connection(include_timestamps=str(timed).lower())
    said = [message for event in events for message in told(dialect.emit(event))]
    kinds = ["committed_transcript", "committed_transcript_with_timestamps"][: 1 + timed]
    assert [(message["message_type"], message["text"]) for message in said] == [
        (kind, text) for text in texts for kind in kinds
    ]


@pytest.mark.parametrize(
    ("query", "spoken", "code"),
    [
        ({"include_timestamps": "true"}, "en", None),
        ({"include_timestamps": "true", "language_code": "eng"}, "en", "eng"),
        ({"include_timestamps": "true", "language_code": "EN"}, "en", "en"),
        ({"include_language_detection": "true"}, "en", "en"),
        ({"include_language_detection": "true", "language_code": "eng"}, "en", "eng"),
        ({"include_language_detection": "true", "language_code": "eng"}, "de", "de"),
        ({"include_language_detection": "true", "language_code": "eng"}, None, "eng"),
        ({"include_language_detection": "true"}, None, None),
    ],
)
def test_the_language_of_a_transcript(query, spoken, code):
    dialect, _ = connection(**query)
    _, timed = told(dialect.emit(final(language=spoken) if spoken else Committed(1, True)))
    assert timed["language_code"] == code
    assert (timed["words"] is None) is ("include_timestamps" not in query)


words = st.lists(
    st.tuples(
        st.text(st.characters(categories=["L"]), min_size=1, max_size=6),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
        st.floats(0, 1) | st.just(1.0000001),
    ),
    min_size=1,
)


@given(words)
def test_words_join_to_the_text_and_have_finite_logarithms(pieces):
    spoken = tuple(Word(text, start, start + length, confidence) for text, start, length, confidence in pieces)
    text = " ".join(word.text for word in spoken)
    dialect, _ = connection(include_timestamps="true")
    _, timed = told(dialect.emit(final(text, words=spoken)))
    assert "".join(word["text"] for word in timed["words"]) == timed["text"] == text
    for word in timed["words"]:
        assert word.keys() == {"text", "start", "end", "type", "logprob", "speaker_id"}
        assert isinstance(word["start"], float)
        assert word["start"] <= word["end"]
        assert math.isfinite(word["logprob"])
        assert word["logprob"] <= 0
    assert [word["type"] for word in timed["words"]] == (["word", "spacing"] * len(spoken))[:-1]
    assert [word["start"] for word in timed["words"][::2]] == [round(word.start / 16_000, 3) for word in spoken]


def test_a_logarithm_is_that_of_the_confidence():
    dialect, _ = connection(include_timestamps="true")
    _, timed = told(dialect.emit(final("a", words=(Word("a", 0, 1, 0.5),))))
    assert timed["words"][0]["logprob"] == pytest.approx(math.log(0.5))


# tokens


def token(kind="realtime_scribe", **headers):
    (endpoint,) = ElevenLabs.endpoints
    return endpoint.read(Request(f"/v1/single-use-token/{kind}", headers, ()))


@pytest.mark.parametrize(("key", "keys"), [("key", ("key",)), (" key ", ("key",)), ("", ()), (None, ())])
def test_a_token_is_asked_for_with_the_key(key, keys):
    wish = token(**({"xi-api-key": key} if key is not None else {}))
    assert isinstance(wish, TokenWish)
    assert (wish.keys, wish.realm, wish.lifetime_s, wish.single_use) == (keys, ElevenLabs.realm, 900, True)
    assert wish.answer("sutkn_1") == Answer(200, '{"token":"sutkn_1"}')


@pytest.mark.parametrize("kind", ["batch_scribe", "tts_websocket", "", "REALTIME_SCRIBE", "x"])
def test_tokens_of_other_types_open_nothing_here(kind):
    answer = token(kind, **{"xi-api-key": "key"})
    assert answer.status == 422
    assert msgspec.json.decode(answer.body)["detail"][0]["loc"] == ["path", "token_type"]


@pytest.mark.parametrize("kind", Kind)
def test_why_there_is_no_token(kind):
    (endpoint,) = ElevenLabs.endpoints
    answer = endpoint.refuse(Problem(kind, "why"))
    status, word = STATUS.get(kind, (400, kind.value))
    assert answer.status == status
    assert msgspec.json.decode(answer.body) == {"detail": {"status": word, "message": f"{READABLE[kind]}: why"}}


def test_refusals_are_never_before_the_upgrade():
    assert all(ElevenLabs.refuse(Problem(kind), Handshake(PATH, {}, ())).status == 0 for kind in Kind)
    assert isinstance(asking(model_id="x"), Refusal)


def test_chunk_limit_counts_audio_not_line_breaks():
    audio = bytes(CHUNK_BYTES - CHUNK_BYTES % 3)
    message = json.dumps({"audio_base_64": base64.encodebytes(audio).decode()})
    assert connection()[0].receive(message) == [Hear(audio)]


def test_commit_limit_counts_audio_not_wav_headers():
    dialect, header = connection()[0], wav_header(AudioFormat())
    for _ in range(14):  # 280 ms of audio; with the headers it would be 299 ms
        dialect.receive(chunk(header + bytes(640)))
    assert "there are 280 ms" in told(dialect.receive(chunk(commit=True)))[0]["error"]
