import pytest

from appliance.packs.accuracy import FIGURES, LANGUAGES, accuracy_words, error_of, words_of, wrong_words
from appliance.packs.catalogue import CATALOGUE, MULTILINGUAL, named


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "whisper-tiny-en",
            "general English, about 1 word in 20 wrong on clear speech, 1 in 3 with a strong accent",
        ),
        ("kiosk-words", "letters, numbers, months and commands only"),
        (
            "vosk-model-small-en-us-0.15",
            "general English, about 1 word in 10 wrong on clear speech (publisher's figure)",
        ),
        (
            "faster-whisper-base",
            "99 languages; in English about 1 word in 20 wrong on clear speech (publisher's figure), in others more",
        ),
        ("vosk-model-small-ko-0.22", "general Korean, not measured"),
        ("vosk-model-br-0.8", "general Breton, not measured"),
        ("my-own", "not measured"),
    ],
)
def test_accuracy_is_told_in_words(name, words):
    assert words_of(name) == words


def test_models_outside_the_catalogue_are_not_measured():
    assert accuracy_words("mine", "mr") == "general mr, not measured"
    assert accuracy_words("mine", MULTILINGUAL) == "99 languages, not measured"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("whisper-tiny-en", "1 in 20"),
        ("faster-whisper-small.en", "1 in 32*"),
        ("kiosk-words", ""),
        ("vosk-model-small-ko-0.22", ""),
    ],
)
def test_a_table_marks_publishers_figures(name, short):
    assert wrong_words(name) == short


def test_figures_are_of_packs_in_the_catalogue():
    assert all(named(name) for name in FIGURES)
    assert all(0 < figure.error < 1 for figure in FIGURES.values())


@pytest.mark.parametrize("pack", CATALOGUE, ids=lambda pack: pack.name)
def test_every_language_of_the_catalogue_has_a_name(pack):
    assert pack.language in LANGUAGES or pack.language == MULTILINGUAL
    assert 0 < error_of(pack) <= 1
