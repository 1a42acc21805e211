import pytest

from appliance.core.problems import Kind, Refused
from appliance.engines.registry import ModelSpec, load
from appliance.packs.store import embedded
from appliance.text.errors import word_errors
from tests.engines.recordings import feed, group, said, well_timed
from tests.sound import noise

MOST_ERRORS = 0.08
"""Of the words; it was 5 of 102 when this was written."""


@pytest.fixture(scope="module")
def kiosk():
    return load(ModelSpec(name="kiosk-words", engine="vosk", language="en", path=str(embedded()["kiosk-words"])))


@pytest.fixture(scope="module")
def recordings():
    return group("an4_spell_digits")


def heard(recognizer, samples, phrases=()):
    stream = recognizer.stream(phrases)
    feed(stream, samples)
    return stream.finish()


def test_capabilities(kiosk):
    found = kiosk.capabilities
    assert (found.engine, found.model, found.language) == ("vosk", "kiosk-words", "en")
    assert found.grammar
    assert found.word_confidence
    assert found.sessions_per_worker > 1


def test_texts_times_and_confidences(kiosk, recordings):
    wrong = words = 0
    for recording in recordings:
        hypothesis = heard(kiosk, recording.samples)
        assert well_timed(hypothesis, len(recording.samples)), recording.name
        wrong += word_errors(recording.words, said(hypothesis))
        words += len(recording.words)
    assert words > 80
    assert wrong <= MOST_ERRORS * words


@pytest.mark.parametrize("piece", [512, 2_048, 16_000])
def test_streams_over_one_model_do_not_disturb_each_other(kiosk, recordings, piece):
    pair = recordings[1:3]
    alone = [heard(kiosk, recording.samples) for recording in pair]
    streams = [kiosk.stream(), kiosk.stream()]
    for at in range(0, max(len(recording.samples) for recording in pair), piece):
        for stream, recording in zip(streams, pair, strict=True):
            samples = recording.samples[at : at + piece]
            if len(samples):
                stream.accept(samples)
                stream.partial()
    assert [said(stream.finish()) for stream in streams] == [said(hypothesis) for hypothesis in alone]


def test_utterances_one_after_the_other_are_timed_from_their_own_start(kiosk, recordings):
    stream = kiosk.stream()
    for recording in [*recordings[1:4], recordings[1]]:
        fresh = heard(kiosk, recording.samples)
        feed(stream, recording.samples)
        hypothesis = stream.finish()
        assert well_timed(hypothesis, len(recording.samples))
        assert hypothesis.words[0].start == pytest.approx(fresh.words[0].start, abs=1_600)


def test_times_are_right_after_a_new_grammar_too(kiosk, recordings):
    stream, samples = kiosk.stream(), recordings[1].samples
    fresh = heard(kiosk, samples)
    for phrases in (("one two",), (), (), ("enter", "sixty")):
        feed(stream, samples)
        hypothesis = stream.finish()
        assert well_timed(hypothesis, len(samples))
        stream.grammar(phrases)
    feed(stream, samples)
    stream.finish()
    stream.grammar(())
    feed(stream, samples)
    hypothesis = stream.finish()
    assert said(hypothesis) == said(fresh)
    assert hypothesis.words[0].start == pytest.approx(fresh.words[0].start, abs=1_600)


def test_partials_grow_into_the_final(kiosk, recordings):
    recording = recordings[1]
    stream, seen = kiosk.stream(), []
    for at in range(0, len(recording.samples), 2_048):
        stream.accept(recording.samples[at : at + 2_048])
        hypothesis = stream.partial()
        edges = [edge for word in hypothesis.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert not edges or edges[-1] <= at + 2_048
        assert stream.partial() == hypothesis
        seen.append(said(hypothesis))
    assert seen[0] == ()
    assert len(set(seen)) >= len(recording.words)
    assert word_errors(said(stream.finish()), seen[-1]) <= 1
    assert said(stream.partial()) == ()


def test_finish_twice_and_without_audio(kiosk, recordings):
    stream = kiosk.stream()
    assert said(stream.finish()) == ()
    feed(stream, recordings[1].samples)
    assert said(stream.finish())
    assert said(stream.finish()) == ()
    assert said(stream.partial()) == ()


@pytest.mark.parametrize("loud", [False, True])
def test_noise_is_next_to_nothing(kiosk, loud):
    assert len(said(heard(kiosk, noise((loud, 32_000))))) <= 2


# grammars

DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero")


def of_digits(recordings):
    return next(recording for recording in recordings if set(recording.words) <= set(DIGITS))


def test_a_grammar_holds(kiosk, recordings):
    recording = of_digits(recordings)
    assert word_errors(recording.words, said(heard(kiosk, recording.samples, DIGITS))) <= 1
    assert set(said(heard(kiosk, recording.samples, ("stop", "go", "help")))) <= {"stop", "go", "help"}
    assert said(heard(kiosk, recording.samples, (" ".join(recording.words),))) == recording.words


def test_a_grammar_may_use_words_that_free_speech_does_not(kiosk, recordings):
    assert set(said(heard(kiosk, recordings[0].samples, ("kitchen light", "volume up")))) <= {
        "kitchen",
        "light",
        "volume",
        "up",
    }


def test_speech_outside_of_the_grammar_may_be_nothing(kiosk, recordings):
    spelled = next(recording for recording in recordings if all(len(word) == 1 for word in recording.words))
    hypothesis = heard(kiosk, spelled.samples, ("kitchen light", "[unk]"))
    assert "[unk]" not in said(hypothesis)
    assert len(said(hypothesis)) < len(spelled.words)


def test_free_speech_after_a_grammar(kiosk, recordings):
    recording = of_digits(recordings)
    stream = kiosk.stream(("stop", "go"))
    feed(stream, recording.samples)
    assert set(said(stream.finish())) <= {"stop", "go"}
    stream.grammar(())
    feed(stream, recording.samples)
    assert said(stream.finish()) == said(heard(kiosk, recording.samples))


@pytest.mark.parametrize(
    ("phrases", "named"),
    [
        (("xylophone",), "xylophone"),
        (("one xylophone", "quux two"), "quux, xylophone"),
        (("[unk]",), ""),
        (("  ",), ""),
    ],
)
def test_a_grammar_of_words_that_the_model_lacks_is_refused(kiosk, phrases, named):
    for attempt in (kiosk.stream, kiosk.stream().grammar):
        with pytest.raises(Refused) as refused:
            attempt(phrases)
        assert refused.value.problem.kind is Kind.BAD_OPTION
        assert named in refused.value.problem.detail


def test_phrases_with_words_that_the_model_lacks_are_left_out(kiosk, recordings):
    recording = of_digits(recordings)
    phrases = (*DIGITS, "xylophone", "two xylophones")
    assert said(heard(kiosk, recording.samples, phrases)) == said(heard(kiosk, recording.samples, DIGITS))
