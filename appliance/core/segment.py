"""The segment that is open, and the place from which a session can be continued by another one."""

from __future__ import annotations

from msgspec import Struct

from appliance.core.events import Word
from appliance.core.stability import Stability


class Origin(Struct, frozen=True):
    """Where a session begins that continues another one."""

    wire: int = 0
    """Bytes of input, header included, that came before."""
    position: int = 0
    """Samples at 16 kHz that came before."""
    segment: int = 0
    """The number of the next final."""
    quiet: int | None = None
    """Someone was speaking, which has been told, and has been quiet for this many samples; ``None``: nobody was."""
    context: tuple[int, ...] = ()
    """``DraftStream.context`` at this place."""


class Segment:
    """What is known of the segment that is open, or will be. Samples since session start."""

    def __init__(self, position: int) -> None:
        self.opened: int | None = None
        """The first sample the recogniser got of it; ``None`` while nobody has spoken."""
        self.voice = self.heard_until = position
        self.quiet: int | None = None
        """It began in the middle of speech, where a segment that was too long was cut, after so much silence."""
        self.context: tuple[int, ...] = ()
        """What the recogniser knew of earlier text when it began."""
        self.words: tuple[Word, ...] = ()
        """Those of its finished utterances."""
        self.language = ""
        """That of its last utterance with words, where the engine says it."""
        self.stability = Stability()
        self.told = ""
        """The last partial's text."""
