"""How far a text is from what was said."""

from __future__ import annotations

from collections.abc import Sequence


def plain_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter in " '").split()


def word_errors(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Words to change, leave out or put in (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, want in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, have in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (want != have))
    return row[-1]
