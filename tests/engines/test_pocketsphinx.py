import pytest

from appliance.core.problems import Kind, Refused
from appliance.engines.registry import ModelSpec, load
from appliance.text.errors import word_errors
from tests.engines.recordings import Recording, feed, group, said, well_timed

CLEAR = ("LJ001-0008", "aew_a0001", "aew_a0003", "0880", "LJ001-0004")
"""Short recordings of three speakers that it understands best."""
MOST_ERRORS = 0.25
"""Of the words; it was 8 of 45 when this was written."""


@pytest.fixture(scope="module")
def english():
    return load(ModelSpec(name="pocketsphinx-en-us", engine="pocketsphinx", language="en"))


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    rows = group("native_read")
    return [next(row for row in rows if row.name.endswith(f"{end}.wav")) for end in CLEAR]


def heard(recognizer, samples, phrases=(), piece=2_048):
    stream = recognizer.stream(phrases)
    feed(stream, samples, piece)
    return stream.finish()


def test_capabilities(english):
    found = english.capabilities
    assert (found.engine, found.model, found.language) == ("pocketsphinx", "pocketsphinx-en-us", "en")
    assert found.sessions_per_worker == 1


def test_texts_times_and_confidences(english, recordings):
    wrong = words = 0
    for recording in recordings:
        hypothesis = heard(english, recording.samples)
        assert well_timed(hypothesis, len(recording.samples) + 160), recording.name
        assert not any("<" in word or "[" in word or "(" in word for word in said(hypothesis))
        wrong += word_errors(recording.words, said(hypothesis))
        words += len(recording.words)
    assert wrong <= MOST_ERRORS * words


def test_a_stream_knows_nothing_of_the_one_before(english, recordings):
    """The channel estimate (CMN) is carried over by the decoder unless it is set back."""
    first, loud = recordings[0].samples, recordings[1].samples // 8
    alone = heard(english, first)
    heard(english, loud)
    assert heard(english, first) == alone


def test_utterances_one_after_the_other(english, recordings):
    stream = english.stream()
    for recording in (recordings[0], recordings[1], recordings[0]):
        feed(stream, recording.samples)
        hypothesis = stream.finish()
        assert well_timed(hypothesis, len(recording.samples) + 160)
        assert word_errors(recording.words, said(hypothesis)) <= len(recording.words) // 2


def test_partials_come_while_it_listens(english, recordings):
    recording, stream, seen = recordings[1], english.stream(), []
    assert said(stream.partial()) == ()
    for at in range(0, len(recording.samples), 8_000):
        stream.accept(recording.samples[at : at + 8_000])
        hypothesis = stream.partial()
        assert well_timed(hypothesis, at + 8_000 + 160)
        seen.append(said(hypothesis))
    stream.finish()
    assert len(set(seen)) >= 3
    assert said(stream.partial()) == ()


def test_finish_twice_without_audio_and_close_in_the_middle(english, recordings):
    stream = english.stream()
    assert said(stream.finish()) == ()
    feed(stream, recordings[0].samples)
    assert said(stream.finish())
    assert said(stream.finish()) == ()
    feed(stream, recordings[0].samples)
    stream.close()
    assert said(heard(english, recordings[0].samples))


def test_a_grammar_and_free_speech_after_it(english, recordings):
    recording = recordings[0]
    free = heard(english, recording.samples)
    assert set(said(heard(english, recording.samples, ("turn on", "Turn Off")))) <= {"turn", "on", "off"}
    assert said(heard(english, recording.samples, (" ".join(recording.words),))) == recording.words
    stream = english.stream(("turn on",))
    stream.grammar(())
    feed(stream, recording.samples)
    assert stream.finish() == free


@pytest.mark.parametrize(
    ("phrases", "named"),
    [(("xyzzyx",), "xyzzyx"), (("one xyzzyx", "two Quuxed"), "quuxed, xyzzyx"), (("a | b",), "|"), (("one ;",), ";")],
)
def test_a_grammar_of_words_that_the_model_lacks_is_refused(english, phrases, named):
    with pytest.raises(Refused) as refused:
        english.stream(phrases)
    assert refused.value.problem.kind is Kind.BAD_OPTION
    assert named in refused.value.problem.detail
    assert english.stream().finish().words == ()
