"""Which prefix of a partial may no longer change: what clients may act on before the final."""

from __future__ import annotations

from appliance.core.events import RATE, Word

SETTLED = RATE * 6 // 10
"""A word that ended this long ago and was the same in the last partial has settled: later ones hardly reach back."""


class Stability:
    """Follows the partials of one segment. Stable words are never taken back, even where the engine changes its mind:
    the segment's final has the last word.
    """

    def __init__(self) -> None:
        self._stable: list[Word] = []
        self._previous: tuple[Word, ...] = ()

    def update(self, words: tuple[Word, ...], now: int) -> tuple[tuple[Word, ...], int]:
        """The hypothesis for the audio up to ``now``; the words to show and how many of them are stable."""
        index = len(self._stable)
        while (
            index < min(len(words), len(self._previous))
            and words[index].text == self._previous[index].text
            and words[index].end <= now - SETTLED
        ):
            self._stable.append(words[index])
            index += 1
        self._previous = words
        return (*self._stable, *words[index:]), index
