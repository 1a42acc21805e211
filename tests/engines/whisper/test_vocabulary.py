"""Tokens to words with the embedded tokenizer, and with one made multilingual from it."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from appliance.engines.whisper.vocabulary import ENGLISH_ONLY, Vocabulary
from tests.engines.whisper.rig import folder

LANGUAGES = ("en", "zh", "ja", "haw", "hi")


@cache
def english() -> Vocabulary:
    return Vocabulary(folder())


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    """The text tokens of the embedded model, with a multilingual model's special tokens."""
    place = tmp_path_factory.mktemp("multilingual")
    known = json.loads((folder() / "tokenizer.json").read_bytes())
    names = ["endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startofprev", "notimestamps"]
    first = 50_257
    known["added_tokens"] = [
        {**known["added_tokens"][0], "id": first + number, "content": f"<|{name}|>"}
        for number, name in enumerate(names)
    ]
    del known["model"]["vocab"]["<|endoftext|>"]
    known["model"]["vocab"][""] = 50_256
    known["post_processor"] = None
    tokens = [token for token, _ in sorted(known["model"]["vocab"].items(), key=lambda row: row[1])]
    tokens += [f"<|{name}|>" for name in names]
    tokens += [f"<|{number / 50:.2f}|>" for number in range(ENGLISH_ONLY + 1 - len(tokens))]
    (place / "tokenizer.json").write_text(json.dumps(known))
    (place / "vocabulary.json").write_text(json.dumps(tokens))
    return Vocabulary(place)


def words(vocabulary: Vocabulary, text: str, language: str = "en") -> list[str]:
    return [piece.text for piece in vocabulary.words(vocabulary.tokens(text), language)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" Hello there.", "Hello|there."),
        ("Hello  there", "Hello|there"),
        (" It's $5.50, isn't it?", "It's|$5.50,|isn't|it?"),
        (" U.S.A. 24-hour co-operation", "U.S.A.|24-hour|co-operation"),
        (" naïve café", "naïve|café"),
        # annotations
        (" [Music]", ""),
        (" [ Music playing ] Hello", "Hello"),
        (" (coughing) Yes (laughs).", "Yes"),
        (" Well *sighs deeply* no", "Well|no"),
        (" Hello[BLANK_AUDIO] you", "Hello|you"),
        (" Then [unfinished at the end", "Then"),
        (" \uff08laughter\uff09 Yes \u3010music\u3011 and \uff3bnoise\uff3d no", "Yes|and|no"),
        (" <|nospeech|> fine", "fine"),
        # no annotations
        (" 2 * 3 * 4 is 24", "2|3|4|is|24"),
        (" 5* hotel and 4* too", "5*|hotel|and|4*|too"),
        # music notes, also over several words
        (" ♪", ""),
        (" ♪♪ ♪", ""),
        (" ♪ La la ♪ he sang", "La|la|he|sang"),
        (" ♫oh♬ yes", "oh|yes"),
        # punctuation only
        (" ... - ?!", ""),
        (" Well - no", "Well|no"),
        (" _ __ a_b", "a_b"),
    ],
)
def test_words_of_text_without_annotations(text, expected):
    assert words(english(), text) == (expected.split("|") if expected else [])


def test_words_know_their_tokens():
    tokens = english().tokens(" (coughs) Unbelievable, isn't it")
    found = english().words(tokens, "en")
    assert [english().text(tokens[piece.first : piece.last]) for piece in found] == [
        " Unbelievable,", " isn't", " it",
    ]  # fmt: skip
    assert found[-1].last == len(tokens)


def test_text_leaves_special_tokens_out():
    vocabulary = english()
    assert vocabulary.text([vocabulary.start, *vocabulary.tokens(" Yes"), vocabulary.end]) == " Yes"


def test_special_tokens_of_english_model():
    vocabulary = english()
    assert not vocabulary.multilingual
    assert (vocabulary.start, vocabulary.untimed, vocabulary.end) == (50_257, 50_362, 50_256)
    assert vocabulary.opening("en") == [50_257]
    assert list(vocabulary.languages) == ["en"]


def test_special_tokens_of_multilingual_model(multilingual):
    assert multilingual.multilingual
    assert multilingual.languages == dict(zip(LANGUAGES, range(50_259, 50_264), strict=True))
    assert multilingual.opening("ja") == [50_258, 50_261, 50_265]
    assert (multilingual.end, multilingual.previous, multilingual.untimed) == (50_257, 50_266, 50_267)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今日はいい天気", "今|日|は|い|い|天|気"),
        ("今日。はい", "今|日。|は|い"),
        ("\u3010音楽\u3011今日", "今|日"),
        ("[音楽]今日", "今|日"),
        ("♪ああ♪", "あ|あ"),
        ("。", ""),
    ],
)
def test_words_of_spaceless_language_are_characters(multilingual, text, expected):
    """One word for each run of tokens that spells whole characters; here each character has tokens of its own."""
    assert words(multilingual, text, "ja") == (expected.split("|") if expected else [])


def test_words_of_spaceless_language_cover_all_tokens(multilingual):
    tokens = multilingual.tokens("今日は天気")
    found = multilingual.words(tokens, "zh")
    assert [found[0].first, *(piece.last for piece in found)] == [*(piece.first for piece in found), len(tokens)]
    cut = multilingual.words(tokens[:-1], "zh")  # in the middle of a character
    assert cut == found[:-1]


def test_words_of_spaced_script_break_at_spaces(multilingual):
    assert words(multilingual, " यह एक वाक्य है।", "hi") == ["यह", "एक", "वाक्य", "है।"]


# files


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "vocabulary.json"):
        shutil.copy(folder() / name, tmp_path / name)
    return tmp_path


def test_vocabulary_text_file_equals_json(copy):
    tokens = json.loads((copy / "vocabulary.json").read_bytes())
    (copy / "vocabulary.json").unlink()
    for end in ("", "\n"):  # the published models' files end with a line break
        (copy / "vocabulary.txt").write_text("\n".join(tokens) + end, "utf-8")
        found = Vocabulary(copy)
        assert not found.multilingual
        assert found.opening("en") == [50_257]


def edited(copy: Path, name: str, change) -> None:
    content = json.loads((copy / name).read_bytes())
    (copy / name).write_text(json.dumps(change(content)))


def swapped(tokens: list[str]) -> list[str]:
    return [*tokens[1:], tokens[0]]


def unspecial(tokenizer: dict) -> dict:
    kept = [token for token in tokenizer["added_tokens"] if token["content"] != "<|startofprev|>"]
    return {**tokenizer, "added_tokens": kept, "post_processor": None}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("vocabulary.json", swapped, "belongs to another model"),
        ("vocabulary.json", lambda tokens: [*tokens[:50_257], *swapped(tokens[50_257:])], "belongs to another model"),
        ("vocabulary.json", lambda tokens: tokens[:30_000], "30000 tokens"),
        ("vocabulary.json", lambda tokens: [], "0 tokens"),
        ("vocabulary.json", lambda tokens: {"tokens": tokens}, "vocabulary cannot be read"),
        ("vocabulary.json", lambda tokens: [1, *tokens], "vocabulary cannot be read"),
        ("tokenizer.json", unspecial, "has no <|startofprev|>"),
        ("tokenizer.json", lambda tokenizer: {}, "tokenizer.json cannot be read"),
    ],
)
def test_vocabulary_of_other_files_raises_os_error(copy, name, change, reason):
    edited(copy, name, change)
    with pytest.raises(OSError, match=reason):
        Vocabulary(copy)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("tokenizer.json", b"", "tokenizer.json cannot be read"),
        ("tokenizer.json", b"\xff\xfe{", "tokenizer.json cannot be read"),
        ("vocabulary.json", None, "vocabulary.json is missing"),
        ("vocabulary.json", b"", "vocabulary cannot be read"),
        ("vocabulary.json", b'["a", "b', "vocabulary cannot be read"),
        ("vocabulary.txt", b"\xff\xfe", "vocabulary cannot be read"),
        ("vocabulary.txt", b"", "1 tokens"),
    ],
)
def test_vocabulary_unreadable_file_raises_os_error(copy, name, content, reason):
    if name == "vocabulary.txt":
        (copy / "vocabulary.json").unlink()
    (copy / name).unlink(missing_ok=True)
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(OSError, match=reason):
        Vocabulary(copy)
