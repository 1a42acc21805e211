"""Which prefix of a partial may no longer change: what clients may act on before the final."""

from __future__ import annotations

from appliance.core.events import RATE, Word

SETTLED = RATE * 6 // 10
"""A word that ended this long ago and was the same in the last partial has settled: later ones hardly reach back."""


REACH = 3
"""Words by which a new hypothesis may be shifted against the stable ones."""


class Stability:
    """Follows the partials of one segment. Stable words are never taken back, even where the engine changes its mind:
    the segment's final has the last word.
    """

    def __init__(self) -> None:
        self._stable: list[Word] = []
        self._previous: tuple[Word, ...] = ()

    def update(self, words: tuple[Word, ...], now: int, fixed: int | None = None) -> tuple[tuple[Word, ...], int]:
        """Return the words to show for the hypothesis of the audio up to ``now``, and how many of them are stable.

        ``fixed``: leading words that the engine promises to keep; without it, words that agree with the previous
        hypothesis and ended long enough ago are stable.
        """
        at = self._after_stable(words)
        rest = words[at:]
        count = len(self._stable)
        agreed = 0
        while agreed < len(rest) and self._settles(rest[agreed], at + agreed, count + agreed, now, fixed):
            agreed += 1
        self._stable += rest[:agreed]
        self._previous = words
        return (*self._stable, *rest[agreed:]), len(self._stable)

    def _settles(self, word: Word, index: int, shown: int, now: int, fixed: int | None) -> bool:
        if fixed is not None:
            return index < fixed
        return shown < len(self._previous) and word.text == self._previous[shown].text and word.end <= now - SETTLED

    def _after_stable(self, words: tuple[Word, ...]) -> int:
        """Return where the hypothesis goes on after the stable words: behind the last of them, if it is about there."""
        count = len(self._stable)
        if not count:
            return 0
        last = self._stable[-1].text
        for shift in sorted(range(-REACH, REACH + 1), key=abs):
            if 0 < count + shift <= len(words) and words[count + shift - 1].text == last:
                return count + shift
        return min(count, len(words))
