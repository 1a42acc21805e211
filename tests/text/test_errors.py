import pytest

from appliance.text.errors import plain_words, word_errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What time is it now?", ["what", "time", "is", "it", "now"]),
        ("I'm  glad -- to see you.", ["i'm", "glad", "to", "see", "you"]),
        ("", []),
    ],
)
def test_plain_words_have_neither_case_nor_punctuation(text, words):
    assert plain_words(text) == words


@pytest.mark.parametrize(
    ("wanted", "heard", "errors"), [("a b c", "a b c", 0), ("a b c", "a x c", 1), ("a b c", "", 3), ("", "a b", 2)]
)
def test_word_errors_count_changes(wanted, heard, errors):
    assert word_errors(wanted.split(), heard.split()) == errors
