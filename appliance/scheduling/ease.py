"""What the box gives up when it falls behind, and when it takes it back. Pure; the clock is passed in.

The lateness that counts is what is left over: the least of a second, of the stream that is worst off. Work that comes
in lumps (the second pass at the end of an utterance) leaves nothing over; a box that cannot keep up does.
"""

from __future__ import annotations

import enum


class Level(enum.IntEnum):
    """Each includes those before."""

    NORMAL = 0
    SLOWER_PARTIALS = 1
    NO_PARTIALS = 2
    REFUSING = 3

    @property
    def words(self) -> str:
        """As logs and status lines call it."""
        return ("all as asked for", "slower partials", "no partials", "no partials and no new streams")[self]


SLOWER: dict[Level, int] = {Level.NORMAL: 1, Level.SLOWER_PARTIALS: 3, Level.NO_PARTIALS: 0, Level.REFUSING: 0}
"""How many times longer a client waits for the next partial; 0: it gets none."""
UP_S: dict[Level, float] = {Level.NORMAL: 0.3, Level.SLOWER_PARTIALS: 0.3, Level.NO_PARTIALS: 0.5}
"""Lateness above which a level is left for the next one, ..."""
UP_AFTER_S = 3.0
"""... when it has lasted so long, since the last change too, and does not fall: a step must have had time to show."""
FALLING = 0.95
"""Of the lateness ``UP_AFTER_S`` ago: below this it falls."""
CALM_S = 0.15
"""Lateness below which there is nothing left of the trouble ..."""
DOWN_AFTER_S = 15.0
"""... when it has been so for so long; then one step back. Clients are let in again after no longer than that."""
LONGEST_S = 240.0
"""A step back that proved too early doubles that time, up to this."""
PROVEN_S = 60.0
"""A step back that has held for so long was not too early."""


class Ease:
    """Observe once a second; ``level`` says what to do. With nobody there is nothing to give up: begin anew."""

    def __init__(self) -> None:
        self.level = Level.NORMAL
        self._patience = DOWN_AFTER_S
        self._late_since: float | None = None
        self._late_then = 0.0
        self._calm_since: float | None = None
        self._changed_at = float("-inf")
        self._stepped_back_at = float("-inf")

    def observe(self, late_s: float, at: float) -> bool:
        """The lateness left over in the last second; true when the level has changed."""
        if self._rises(late_s, at):
            if at - self._stepped_back_at < PROVEN_S:
                self._patience = min(LONGEST_S, self._patience * 2)
            return self._change(Level(self.level + 1), late_s, at)
        if self._calm(late_s, at):
            if self.level is not Level.REFUSING:
                self._stepped_back_at = at
            return self._change(Level(self.level - 1), late_s, at)
        if not self.level and at - self._changed_at > LONGEST_S:
            self._patience = DOWN_AFTER_S
        return False

    def _rises(self, late_s: float, at: float) -> bool:
        """Late for long enough, and no better than then."""
        if late_s <= UP_S.get(self.level, float("inf")):
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since, self._late_then = at, late_s
        if at - self._late_since < UP_AFTER_S:
            return False
        falling = late_s < self._late_then * FALLING
        self._late_since, self._late_then = at, late_s
        return not falling

    def _calm(self, late_s: float, at: float) -> bool:
        if late_s >= CALM_S:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = at
        patience = DOWN_AFTER_S if self.level is Level.REFUSING else self._patience
        return bool(self.level) and self._calm_since is not None and at - self._calm_since >= patience

    def _change(self, level: Level, late_s: float, at: float) -> bool:
        self.level = level
        self._changed_at = self._late_since = at
        self._late_then = late_s
        self._calm_since = None
        return True
