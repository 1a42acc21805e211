"""The adapter with the embedded model: development recordings, bad folders and bad audio."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from appliance.core.events import Closed, Final
from appliance.core.options import AudioFormat, Encoding, Endpointing, SessionOptions
from appliance.core.problems import Kind, Refused
from appliance.core.session import Session
from appliance.engines.registry import EngineError, detector, load
from appliance.engines.whisper.recognizer import WhisperRecognizer
from appliance.text.errors import word_errors
from tests.box import whisper
from tests.core.rig import of
from tests.engines.recordings import feed, group, said, well_timed
from tests.engines.whisper.rig import folder, recognizer
from tests.sound import noise

MOST_ERRORS = {"native_read": 0.1, "l2_read": 0.35}
"""Share of wrong words; it was 7 of 102 and 16 of 56 when this was written."""
RECORDINGS = 8


def plain(words) -> list[str]:
    """Words as the recordings' texts write them."""
    return [word for word in (re.sub(r"[^a-z0-9']", "", each.lower()) for each in words) if word]


def heard(samples, *languages):
    stream = recognizer().stream(languages=languages)
    feed(stream, samples)
    return stream.finish()


def session(data: bytes, audio: AudioFormat = AudioFormat(), **more):  # noqa: B008 - a frozen struct
    made = Session(SessionOptions(audio=audio, **more), recognizer(), detector("energy").stream())
    events = [*made.push(data), *made.finish()]
    made.close()
    assert recognizer().speaking == 0
    return events


# recordings


@pytest.mark.parametrize("name", MOST_ERRORS)
def test_finish_recordings_have_few_wrong_words(name):
    wrong = words = 0
    for recording in group(name)[:RECORDINGS]:
        found = heard(recording.samples)
        assert well_timed(found, len(recording.samples)), recording.name
        assert found.language == "en"
        wrong += word_errors(plain(recording.words), plain(said(found)))
        words += len(recording.words)
    assert words > 40
    assert wrong <= MOST_ERRORS[name] * words


def test_finish_text_has_casing_and_punctuation():
    text = heard(group("native_read")[0].samples).text
    assert re.search(r"^[A-Z].*[a-z].*[.,]", text)


def test_finish_confidence_tells_clear_words_from_others():
    clear = [word.confidence for word in heard(group("native_read")[0].samples).words]
    assert np.median(clear) > 0.8
    noisy = heard(noise((True, 32_000))).words
    assert all(word.confidence < 0.6 for word in noisy)


def test_finish_word_times_move_with_the_audio():
    samples = group("native_read")[0].samples
    before = np.array([word.start for word in heard(samples).words])
    late = np.array([word.start for word in heard(np.concatenate((np.zeros(8_000, np.int16), samples))).words])
    assert len(before) == len(late)
    assert np.median(np.abs(late - 8_000 - before)) < 1_600


def test_partials_grow_into_the_final():
    samples, seen = group("native_read")[0].samples, []
    stream = recognizer().stream()
    for at in range(0, len(samples), 12_000):
        stream.accept(samples[at : at + 12_000])
        stream._cost_s = 0.0  # however slow this machine is
        hypothesis = stream.partial()
        assert hypothesis.fixed <= len(hypothesis.words)
        seen.append(plain(said(hypothesis)))
    final = plain(said(stream.finish()))
    assert seen[0] == []
    assert len({len(each) for each in seen}) >= 5
    assert word_errors(final, seen[-1]) <= 3
    assert sum(word_errors(final[: len(each)], each) for each in seen) <= len(seen)


def test_streams_over_one_model_do_not_disturb_each_other():
    pair = group("native_read")[1:3]
    alone = [said(heard(recording.samples)) for recording in pair]
    streams = [recognizer().stream() for _ in pair]
    for at in range(0, max(len(recording.samples) for recording in pair), 2_048):
        for stream, recording in zip(streams, pair, strict=True):
            if len(recording.samples[at : at + 2_048]):
                stream.accept(recording.samples[at : at + 2_048])
    assert [said(stream.finish()) for stream in streams] == alone


# what it says of itself


def test_capabilities_of_the_embedded_model():
    found = recognizer().capabilities
    assert (found.engine, found.language, found.languages) == ("whisper", "en", ("en",))
    assert (found.grammar, found.word_confidence, found.fork_safe) == (False, True, False)
    assert found.utterance_s > 0
    assert 66 < found.worker_mib < 150


@pytest.mark.parametrize(("int8", "mib"), [(True, 27), (False, 13)])
def test_worker_memory_depends_on_the_type_of_weights(copy, int8, mib):
    content = b"weight_scale" if int8 else b"weight"
    (copy / "model.bin").unlink()
    (copy / "model.bin").write_bytes(content + bytes((10 << 20) - len(content)))
    assert WhisperRecognizer(spec(copy)).capabilities.worker_mib == mib


def test_stream_language_the_model_lacks_is_refused():
    with pytest.raises(Refused) as refused:
        recognizer().stream(languages=("hi", "te"))
    assert refused.value.problem.kind is Kind.NO_MODEL
    assert "hi, te" in refused.value.problem.detail
    assert recognizer().stream(languages=("hi", "en"))._languages == ("en",)


def test_stream_phrases_are_refused():
    with pytest.raises(Refused) as refused:
        recognizer().stream(("on", "off"))
    assert refused.value.problem.kind is Kind.BAD_OPTION


@pytest.mark.parametrize(
    ("language", "asked", "among"),
    [
        ("de", (), ("de",)),
        ("de", ("fr", "en"), ("fr", "en")),
        ("mul", (), ("en", "de", "fr")),  # loaded to find out which one is spoken
        ("mul", ("fr",), ("fr",)),
        ("xx", (), ("en", "de", "fr")),
    ],
)
def test_stream_languages_of_multilingual_model(monkeypatch, language, asked, among):
    known = dict.fromkeys(("en", "de", "fr"), 0)
    made = WhisperRecognizer(structs.replace(whisper(), language="en"))
    monkeypatch.setattr("appliance.engines.whisper.recognizer.Vocabulary", lambda path: made.vocabulary)
    monkeypatch.setattr(made.vocabulary, "languages", known)
    several = WhisperRecognizer(structs.replace(whisper(), language=language))
    monkeypatch.setattr(several, "_decoder", recognizer().decoder())
    assert several.stream(languages=asked)._languages == among
    assert several.capabilities.language == among[0] if not asked else True
    assert set(several.capabilities.languages) == set(known)


# folders


@pytest.fixture
def copy(tmp_path):
    for path in folder().iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def spec(path: Path):
    return structs.replace(whisper(), path=str(path))


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_load_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(EngineError, match=f"the model whisper-tiny-en cannot be used: {name} is missing"):
        load(spec(copy))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.bin", b""),
        ("config.json", b""),
        ("config.json", b"[]"),
        ("config.json", b"\xff"),
        ("tokenizer.json", b""),
        ("vocabulary.json", b""),
    ],
)
def test_load_empty_or_unreadable_file_is_named(copy, name, content):
    (copy / name).unlink()
    (copy / name).write_bytes(content)
    with pytest.raises(EngineError, match=name.removesuffix(".json")):
        load(spec(copy))


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.99])
def test_prepare_truncated_model_raises_os_error(copy, share):
    content = (folder() / "model.bin").read_bytes()
    (copy / "model.bin").unlink()
    (copy / "model.bin").write_bytes(content[: int(len(content) * share)])
    made = load(spec(copy))
    with pytest.raises(OSError, match=r".+"):
        made.prepare()
    with pytest.raises(OSError, match=r".+"):
        made.stream()


def test_load_tokenizer_of_another_model_is_refused(copy):
    tokens = json.loads((folder() / "vocabulary.json").read_bytes())
    (copy / "vocabulary.json").unlink()
    (copy / "vocabulary.json").write_text(json.dumps([*tokens[:50_256], "", *tokens[50_256:]]))  # as multilingual ones
    with pytest.raises(EngineError, match="belongs to another model"):
        load(spec(copy))


def test_prepare_loads_the_model_once(monkeypatch):
    made = load(whisper())
    assert isinstance(made, WhisperRecognizer)
    loads = []
    monkeypatch.setattr("appliance.engines.whisper.recognizer.Decoder", lambda *rest: loads.append(rest) or object())
    assert loads == []
    made.prepare()
    made.prepare()
    assert made.decoder() is made.decoder()
    assert len(loads) == 1


# audio


@pytest.mark.parametrize("samples", [0, 1, 100, 800, 1_599])
def test_finish_very_short_audio_has_no_words(samples):
    assert heard(noise((True, samples))).words == ()


def test_finish_50_ms_of_voice_in_a_session_is_no_final():
    events = session(noise((False, 16_000), (True, 800), (False, 16_000)).tobytes())
    assert of(Final, events) == []


def test_finish_silence_is_told_as_improbable_speech():
    found = heard(np.zeros(48_000, np.int16))
    assert found.evidence.no_speech > 0.6
    assert session(bytes(96_000)) == [Closed(48_000)]


def square(samples: int) -> np.ndarray:
    return np.where(np.arange(samples) // 40 % 2, 1.0, -1.0).astype("<f4")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("full scale", square(48_000)),
        ("beyond", square(48_000) * 1e30),
        ("not a number", np.full(48_000, np.nan, "<f4")),
        ("infinite", square(48_000) * np.inf),
        ("now and then", np.where(np.arange(48_000) % 100, square(48_000), np.nan).astype("<f4")),
    ],
)
@pytest.mark.parametrize("encoding", [Encoding.F32LE, Encoding.F16LE])
def test_session_square_wave_and_nan_say_nothing(name, values, encoding):
    with np.errstate(over="ignore"):
        data = values.astype("<f4" if encoding is Encoding.F32LE else "<f2").tobytes()
    events = session(data, AudioFormat(encoding), partial_ms=0)
    assert events[-1] == Closed(48_000)
    assert of(Final, events) == []


def test_session_square_wave_in_partials_leaves_an_empty_final():
    finals = of(Final, session((square(48_000) * 32_767).astype("<i2").tobytes()))
    assert [final.text for final in finals] in ([], [""])


def test_session_long_noise_taken_for_voice_is_unsure():
    """Nothing of it is left in the engine either."""
    longest = Endpointing(longest_ms=60_000)
    events = session(noise((True, 35 * 16_000)).tobytes(), partial_ms=0, endpointing=longest)
    assert events[-1] == Closed(35 * 16_000)
    assert all(final.confidence < 0.2 for final in of(Final, events))
