"""What the lamps show: the appliance's state to patterns of light. Pure; ``panel`` plays them.

``hardware/README.md`` explains the same tables to the owner, and a test keeps both alike.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

Pattern = tuple[tuple[bool, int], ...]
"""Steps (lit, milliseconds), repeated for ever."""


class Lamp(StrEnum):
    """A box may have all of them, or any of them."""

    STATUS = "status"
    MICROPHONE = "microphone"
    ACTIVITY = "activity"


class State(StrEnum):
    """What the status lamp can say. When several are true it says the first."""

    FAULT = "fault"
    STOPPING = "stopping"
    BOOTING = "booting"
    NO_MODEL = "no model"
    OVERLOADED = "overloaded"
    MUTED = "muted"
    SPEECH = "hearing speech"
    TRANSCRIBING = "transcribing"
    CLIENT = "client connected"
    MICROPHONE = "microphone live"
    READY = "ready"


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of the appliance at one moment."""

    starting: bool = False
    model: bool = True
    """A model is there and warm."""
    fault: bool = False
    overloaded: bool = False
    """Clients are refused, or their partials thinned out."""
    draining: bool = False
    clients: int = 0
    transcribing: bool = False
    speech: bool = False
    muted: bool = False
    cards_open: int = 0
    """Cards that some process may be reading, from before they are opened until after they are closed."""
    microphones: int = 0
    """Microphones that are set up, whether there or not."""


def _flashes(count: int) -> Pattern:
    """Dark, with this many short flashes every 2 s."""
    return (*((True, 120), (False, 180)) * (count - 1), (True, 120), (False, 1880 - 300 * (count - 1)))


def _winks(count: int) -> Pattern:
    """Lit, with this many short gaps every 2 s."""
    return tuple((not lit, ms) for lit, ms in _flashes(count))


LIT: Pattern = ((True, 1000),)
DARK: Pattern = ((False, 1000),)

STATUS: dict[State, Pattern] = {
    State.FAULT:        _flashes(4),
    State.STOPPING:     ((True, 1500), (False, 1500)),
    State.BOOTING:      ((True, 500), (False, 500)),
    State.NO_MODEL:     _flashes(2),
    State.OVERLOADED:   _flashes(3),
    State.MUTED:        _flashes(1),
    State.SPEECH:       ((True, 80), (False, 80)),
    State.TRANSCRIBING: ((True, 200), (False, 200)),
    State.CLIENT:       _winks(2),
    State.MICROPHONE:   _winks(1),
    State.READY:        LIT,
}  # fmt: skip
"""The status lamp alone tells every state: flashes in the dark want attention, winks in the light do not."""

ACTIVITY: dict[State, Pattern] = {
    State.SPEECH: STATUS[State.SPEECH],
    State.TRANSCRIBING: STATUS[State.TRANSCRIBING],
    State.CLIENT: LIT,
}
"""The activity lamp, also while the status lamp has something more important to say; else it is dark."""


def states(facts: Facts) -> tuple[State, ...]:
    """All states that are true, the most important first; never empty."""
    true = {
        State.FAULT: facts.fault,
        State.STOPPING: facts.draining,
        State.BOOTING: facts.starting,
        State.NO_MODEL: not facts.model,
        State.OVERLOADED: facts.overloaded,
        State.MUTED: facts.muted and facts.microphones > 0,
        State.SPEECH: facts.speech,
        State.TRANSCRIBING: facts.transcribing,
        State.CLIENT: facts.clients > 0,
        State.MICROPHONE: facts.cards_open > 0,
        State.READY: True,
    }
    return tuple(state for state in State if true[state])


def patterns(facts: Facts) -> dict[Lamp, Pattern]:
    """What each lamp shows. The microphone lamp is not dark while a card is open, not steadily lit otherwise."""
    true = states(facts)
    return {
        Lamp.MICROPHONE: microphone(facts),
        Lamp.STATUS: STATUS[true[0]],
        Lamp.ACTIVITY: next((ACTIVITY[state] for state in true if state in ACTIVITY), DARK),
    }


def microphone(facts: Facts) -> Pattern:
    """The microphone lamp: lit, a flash every 2 s when muted, or dark."""
    if facts.cards_open > 0:
        return LIT
    return STATUS[State.MUTED] if State.MUTED in states(facts) else DARK


def lit(pattern: Pattern, ms: int) -> bool:
    """Whether a lamp with this pattern is lit, ``ms`` after it began."""
    return _step(pattern, ms)[0]


def until_edge(pattern: Pattern, ms: int) -> int | None:
    """Milliseconds from then to the next change; None when there is none."""
    if len({step for step, _ in pattern}) < 2:
        return None
    return _step(pattern, ms)[1]


def _step(pattern: Pattern, ms: int) -> tuple[bool, int]:
    """The step at this time and what is left of it in milliseconds."""
    left = ms % sum(length for _, length in pattern)
    for on, length in pattern:
        if left < length:
            return on, length - left
        left -= length
    raise AssertionError("unreachable")
