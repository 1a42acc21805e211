import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Word
from appliance.text.numbers import LANGUAGES, digits


def words(text, confidence=1.0):
    return tuple(Word(word, i * 10, i * 10 + 8, confidence) for i, word in enumerate(text.split()))


@pytest.mark.parametrize(
    ("language", "said", "written"),
    [
        ("en", "", ""),
        ("en", "nothing here", "nothing here"),
        ("en", "twenty five", "25"),
        ("en", "no one waits a second", "no one waits a second"),
        ("en", "seven seven seven", "7 7 7"),
        ("en", "take one hundred and five cars", "take 105 cars"),
        ("en", "two thousand twenty six", "2026"),
        ("en", "zero point five", "0.5"),
        ("en", "the fifth of june", "the 5th of june"),
        ("en", "nine thirty sixty five", "9 30 65"),
        ("de", "fünfundzwanzig autos", "25 autos"),
        ("fr", "vingt et un", "21"),
        ("es", "treinta y dos", "32"),
        ("it", "ventuno", "21"),
        ("pt", "vinte e um", "21"),
        ("nl", "eenentwintig", "21"),
        ("hi", "पच्चीस", "पच्चीस"),
        ("xx", "twenty five", "twenty five"),
    ],
)
def test_digits(language, said, written):
    assert " ".join(word.text for word in digits(words(said), language)) == written


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_named_is_one_the_library_speaks(language):
    assert digits(words("abc xyz"), language) == words("abc xyz")


def test_a_number_has_the_times_and_the_confidence_of_its_words():
    said = (Word("to", 0, 5, 0.1), Word("twenty", 10, 20, 0.5), Word("five", 25, 40, 1.0), Word("cars", 50, 60, 0.2))
    assert digits(said, "en") == (said[0], Word("25", 10, 40, 0.75), said[3])


SAID = st.lists(
    st.sampled_from(["a", "one", "two", "twenty", "hundred", "and", "point", "first", "zero", "o", "cars"]), max_size=10
)


@given(SAID)
def test_times_and_other_words_are_kept(texts):
    said = words(" ".join(texts))
    written = digits(said, "en")
    assert len(written) <= len(said)
    edges = [edge for word in written for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert {word.start for word in written} <= {word.start for word in said}
    assert [word for word in written if word.text == "cars"] == [word for word in said if word.text == "cars"]
    if said:
        assert (written[0].start, written[-1].end) == (said[0].start, said[-1].end)
