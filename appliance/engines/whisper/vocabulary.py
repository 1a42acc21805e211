"""Whisper's tokens: the special ones by name, and text tokens to words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import tokenizers
from msgspec import Struct

from appliance.core.events import SPACELESS

ENGLISH_ONLY = 51_864
"""Tokens of an English-only model; multilingual ones have more (OpenAI's ``whisper/tokenizer.py``)."""
SAMPLED = 997
"""Every so many tokens are compared between tokenizer and model; a prime, so that no pattern is followed."""
WORDLESS = re.compile(r"^[\W_]*$")
"""Text without a letter or a digit."""
ANNOTATION = re.compile(
    r"\[[^\]]*\]?|\([^)]*\)?|\uff08[^\uff09]*\uff09?|\u3010[^\u3011]*\u3011?|\uff3b[^\uff3d]*\uff3d?"  # wide ones too
    r"|\*[^\s*](?:[^*]*[^\s*])?\*|[♪♫♬]+|<\|[^|]*\|>"
)
"""Descriptions of sounds, which the training data has and no speaker says."""


class Piece(Struct, frozen=True):
    """One word as the model writes it, and the text tokens ``[first, last)`` that it is made of."""

    text: str
    first: int
    last: int


class Vocabulary:
    """The tokenizer of one model folder. Raises ``OSError`` when it cannot be read or belongs to another model."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise OSError(f"{path.name} is missing")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise OSError(f"{path.name} cannot be read: {error}") from error
        model = _model_tokens(folder)
        self._check(model)
        self.multilingual = len(model) > ENGLISH_ONLY
        self.start = self._special("<|startoftranscript|>")
        self.end = self._special("<|endoftext|>")
        self.previous = self._special("<|startofprev|>")
        self.untimed = self._special("<|notimestamps|>")
        self._transcribe = self._special("<|transcribe|>")
        self.languages = self._languages() if self.multilingual else {"en": -1}
        """ISO 639-1 code -> token id."""

    def _check(self, model: Sequence[str]) -> None:
        if len(model) < ENGLISH_ONLY:
            raise OSError(f"the vocabulary has {len(model)} tokens; Whisper's have {ENGLISH_ONLY} or more")
        for number in {*range(0, 50_257, SAMPLED), 50_256, 50_257}:
            if self._tokenizer.id_to_token(number) != model[number]:
                raise OSError("tokenizer.json belongs to another model: its tokens are not those of the vocabulary")

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise OSError(f"tokenizer.json has no {token}: it is not Whisper's")
        return int(number)

    def _languages(self) -> dict[str, int]:
        """Language tokens stand between the start token and the task tokens."""
        last = self._tokenizer.token_to_id("<|translate|>") or self._transcribe
        tokens = ((self._tokenizer.id_to_token(number) or "", number) for number in range(self.start + 1, last))
        return {token[2:-2]: number for token, number in tokens if re.fullmatch(r"<\|[a-z]{2,3}\|>", token)}

    def opening(self, language: str) -> list[int]:
        """Return the start sequence for a language, without the token that turns timestamps off."""
        return [self.start, self.languages[language], self._transcribe] if self.multilingual else [self.start]

    def text(self, tokens: Sequence[int]) -> str:
        """Return what the tokens spell."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, for the decoder's prompt."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def words(self, tokens: Sequence[int], language: str) -> list[Piece]:
        """Split text tokens into words with their punctuation. Annotations and words without a letter are left out."""
        bounds = self._syllables(tokens) if language in SPACELESS else self._spaced(tokens)
        pieces = [Piece(self.text(tokens[a:b]).strip(), a, b) for a, b in pairwise(bounds)]
        return _without_annotations(pieces)

    def _spaced(self, tokens: Sequence[int]) -> list[int]:
        starts = [
            at
            for at, token in enumerate(tokens)
            if not at or (self._tokenizer.id_to_token(token) or "").startswith("Ġ")
        ]
        return [*starts, len(tokens)]

    def _syllables(self, tokens: Sequence[int]) -> list[int]:
        """A word for each run of tokens that spells whole characters; punctuation stays with the word before."""
        bounds, at = [0], 0
        for end in range(1, len(tokens) + 1):
            text = self.text(tokens[at:end])
            if "\N{REPLACEMENT CHARACTER}" in text:
                continue
            if WORDLESS.match(text) and len(bounds) > 1:
                bounds[-1] = end
            else:
                bounds.append(end)
            at = end
        if bounds[-1] != len(tokens):
            bounds.append(len(tokens))
        return bounds


def _without_annotations(pieces: list[Piece]) -> list[Piece]:
    """Drop what is inside brackets, also over several words, and words without a letter."""
    text = " ".join(piece.text for piece in pieces)
    cleaned = ANNOTATION.sub(lambda found: "\0" * len(found[0]), text)
    kept, at = [], 0
    for piece in pieces:
        left = cleaned[at : at + len(piece.text)].replace("\0", "").strip()
        at += len(piece.text) + 1
        if not WORDLESS.match(left):
            kept.append(Piece(left, piece.first, piece.last))
    return kept


def _model_tokens(folder: Path) -> list[str]:
    """The tokens of the model itself, by id, from either form of CTranslate2's vocabulary."""
    try:
        if (folder / "vocabulary.json").is_file():
            return msgspec.json.decode((folder / "vocabulary.json").read_bytes(), type=list[str])
        return (folder / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise OSError("vocabulary.json is missing") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OSError(f"the vocabulary cannot be read: {error}") from error
