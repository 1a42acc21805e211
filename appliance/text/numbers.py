"""Spelled numbers to digits: "twenty five" to "25" (inverse text normalisation), with the times of the words kept."""

from __future__ import annotations

from text_to_num import Token, find_numbers

from appliance.core.events import Word

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")
"""What text2num speaks. Words of other languages stay as they are."""


class _Token(Token):  # type: ignore[misc]  # the library is untyped
    def __init__(self, word: str) -> None:
        self._word = word

    def text(self) -> str:
        return self._word


def digits(words: tuple[Word, ...], language: str) -> tuple[Word, ...]:
    """Words with runs that spell a number joined into one word of digits, as confident as their mean."""
    if language not in LANGUAGES:
        return words
    found = find_numbers([_Token(word.text) for word in words], language)
    result: list[Word] = []
    at = 0
    for number in found:
        run = words[number.start : number.end]
        confidence = sum(word.confidence for word in run) / len(run)
        result += words[at : number.start]
        result.append(Word(number.text, run[0].start, run[-1].end, confidence))
        at = number.end
    return (*result, *words[at:])
