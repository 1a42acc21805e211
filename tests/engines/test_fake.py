import numpy as np
import pytest

from appliance.core.events import Word
from appliance.engines.fake import PACE, FakeRecognizer, Script

SCRIPT = Script(words=("one", "two"))


def samples(count):
    return np.zeros(count, np.int16)


@pytest.mark.parametrize(
    ("length", "text"),
    [(0, ""), (PACE - 1, ""), (PACE, "one"), (2 * PACE, "one two"), (3 * PACE + 1, "one two one")],
)
def test_a_word_for_every_pace(length, text):
    stream = FakeRecognizer(script=SCRIPT).stream()
    stream.accept(samples(length))
    assert stream.partial().text == text
    assert stream.finish().text == text
    assert stream.finish().text == ""


def test_words_are_timed():
    stream = FakeRecognizer(script=SCRIPT).stream()
    stream.accept(samples(2 * PACE))
    assert stream.finish().words == (Word("one", 0, PACE, 1.0), Word("two", PACE, 2 * PACE, 1.0))


def test_how_the_audio_is_cut_does_not_matter():
    stream = FakeRecognizer(script=SCRIPT).stream()
    for _ in range(20):
        stream.accept(samples(PACE // 10))
    assert stream.finish().text == "one two"


def test_phrases_take_the_place_of_the_script():
    stream = FakeRecognizer(script=SCRIPT).stream(("on", "off"))
    stream.accept(samples(2 * PACE))
    assert stream.finish().text == "on off"
    stream.grammar(())
    stream.accept(samples(2 * PACE))
    assert stream.finish().text == "one two"


def test_close_forgets():
    stream = FakeRecognizer().stream()
    stream.accept(samples(PACE))
    stream.close()
    assert stream.finish().text == ""
