"""Cartesia, ``/stt/turns/websocket``: the appliance decides when a turn begins and ends; the client only speaks.

States: idle -turn.start-> speaking -turn.end-> idle. Clients count on both: agents stop talking at the one and answer
at the other, so no text is told outside of a turn and no turn is left open. docs/dialects/cartesia.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import msgspec
from msgspec import Struct, structs

from appliance.core.events import AnyEvent, Closed, Final, Heard, Partial, SpeechEnded, SpeechStarted
from appliance.core.options import Changes, Endpointing, Mode, SessionOptions
from appliance.core.problems import Kind, Problem, Refused
from appliance.dialects.base import (
    Command,
    Configure,
    Effect,
    Endpoint,
    Finish,
    Handshake,
    Hangup,
    Hear,
    KeepAlive,
    Opening,
    Refusal,
    Send,
    SessionInfo,
    said,
    single,
)
from appliance.dialects.cartesia_common import (
    GOING_AWAY,
    ID_HEADER,
    LIMITS,
    REALM,
    SHOWN,
    audio_format,
    check_keyterms,
    error,
    failure,
    keys,
    language,
    number,
    refusal,
)

BOUNDS: dict[str, tuple[float, float]] = {
    "start_threshold": (0.5, 0.9),
    "eager_end_threshold": (0.3, 0.8),
    "end_threshold": (0.05, 0.5),
    "end_timeout_ms": (640, 11_200),
}
"""Of SDK 4.2.0; Pipecat knows eager ends up to 0.8 where the SDK has 0.6, and they change nothing here."""
FALLING = ("start_threshold", "eager_end_threshold", "end_threshold")
"""Each must be above the next one."""
QUERY = "turn_"
"""Before these names in the query."""

START, END, TIMEOUT_MS = 0.8, 0.2, 5600.0
"""The vendor's defaults."""
GOES_ON_MS = 435.0
"""The vendor's model reads the words; here only silence tells. The probability that the speaker goes on falls with it
as exp(-ms / 435): to 0.5 after 300 ms, to 0.2 after 700 ms, to 0.05 after 1.3 s."""
BEGAN_MS = 59.6
"""The probability that someone has begun rises with voiced audio as 1 - exp(-ms / 59.6): to 0.8 after 96 ms."""


class _Turn(Struct, frozen=True):
    start_threshold: float | None = None
    eager_end_threshold: float | None = None
    end_threshold: float | None = None
    end_timeout_ms: float | None = None


class _Message(Struct, frozen=True):
    type: str
    turn: _Turn | None = None


class CartesiaTurns:
    """One connection."""

    name = "cartesia_turns"
    paths: tuple[str, ...] = ("/stt/turns/websocket",)
    realm = REALM
    limits = LIMITS
    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, own: Endpointing, asked: dict[str, float]) -> None:
        self._own = own
        self._asked = asked
        self._id = ""
        self._joint = ""
        self._speaking = False
        self._silent = False
        """The turn's speech has ended and its text has not come yet."""
        self._told: tuple[str, ...] = ()
        self._finishing = False

    @classmethod
    def open(cls, handshake: Handshake) -> Opening | Refusal:
        """The query; any model's name stands for the one that is installed."""
        query = single(handshake.query)
        try:
            code = language(query)
            check_keyterms(handshake.query)
            audio = audio_format(query)
            asked = _checked({name: query[QUERY + name] for name in BOUNDS if query.get(QUERY + name)}, QUERY)
        except Refused as found:
            return refusal(found.problem)
        options = SessionOptions(
            audio=audio,
            languages=(code,) if code else (),
            endpointing=_endpointing(handshake.endpointing, asked),
            acknowledge=True,
        )
        return Opening(
            dialect=cls(handshake.endpointing, asked),
            options=options,
            limits=handshake.limits,
            keys=keys(handshake.headers, query),
            id_header=ID_HEADER,
        )

    @classmethod
    def refuse(cls, problem: Problem, handshake: Handshake) -> Refusal:
        return refusal(problem)

    def opening(self, session: SessionInfo) -> list[Effect]:
        self._id = session.id
        return [self._say("connected")]

    def receive(self, message: str | bytes) -> list[Command | Effect]:
        """Every message counts against idleness; nothing counts after the client has asked for the end."""
        if self._finishing:
            return []
        if isinstance(message, bytes):
            return [Hear(message) if message else KeepAlive()]
        try:
            return [KeepAlive(), self._command(message)]
        except Refused as found:
            return [KeepAlive(), said({"type": "error", **error(found.problem, self._id)})]

    def emit(self, event: AnyEvent) -> list[Effect]:
        match event:
            case SpeechStarted():
                return [*self._end_empty(), *self._start()]
            case Partial(words=words, stable=stable):
                return [*self._start(), *self._update(tuple(word.text for word in words[:stable]))]
            case SpeechEnded():
                self._silent = self._speaking
            case Final(text=text):
                return [*self._start(), self._end(text)]
            case Heard():
                return self._end_empty()
            case Closed(problem=None):
                ended = [self._end("")] if self._speaking else []
                return [*ended, Hangup(1000) if self._finishing else GOING_AWAY]
            case Closed(problem=problem) if problem is not None:
                return self.fail(problem)
        return []

    def fail(self, problem: Problem) -> list[Effect]:
        return failure(problem, self._id)

    def _command(self, message: str) -> Command:
        """Raises ``Refused`` for what is no command."""
        try:
            asked = msgspec.json.decode(message, type=_Message)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as bad:
            raise Refused(Kind.BAD_MESSAGE, str(bad)) from bad
        if asked.type == "close":
            self._finishing = True
            return Finish()
        if asked.type != "config":
            raise Refused(Kind.BAD_MESSAGE, f"type {asked.type[:SHOWN]!r}; expected config or close")
        changed = structs.asdict(asked.turn or _Turn())
        self._asked = _checked({**self._asked, **{name: value for name, value in changed.items() if value is not None}})
        return Configure(Changes(endpointing=_endpointing(self._own, self._asked)))

    # turns

    def _start(self) -> list[Effect]:
        """A turn, if there is none: a segment that was too long is cut in the middle of speech."""
        if self._speaking:
            return []
        self._speaking, self._told = True, ()
        return [self._say("turn.start")]

    def _update(self, words: tuple[str, ...]) -> list[Effect]:
        """Only what has settled, and only what goes on with what was told: the text grows at its end, nowhere else."""
        if words == self._told or words[: len(self._told)] != self._told:
            return []
        self._told = words
        return [self._say("turn.update", self._joint + " ".join(words))]

    def _end(self, text: str) -> Send:
        """The last word on the turn. Texts are joined without a separator: later ones bring their own blank."""
        transcript = self._joint + text if text else ""
        self._joint = " " if transcript else self._joint
        self._speaking = self._silent = False
        return self._say("turn.end", transcript)

    def _end_empty(self) -> list[Effect]:
        """The speech has ended, all of its audio has been dealt with, and no text has come: it was none."""
        return [self._end("")] if self._silent else []

    def _say(self, kind: str, transcript: str | None = None) -> Send:
        text = {} if transcript is None else {"transcript": transcript}
        return said({"type": kind, "request_id": self._id, **text})


def _checked(asked: Mapping[str, str | float], prefix: str = "") -> dict[str, float]:
    """Thresholds within their bounds, and in order as far as the client gives them itself: the vendor's texts differ in
    the defaults of the others. Raises ``Refused``.
    """
    read = {name: number(prefix + name, value, *BOUNDS[name]) for name, value in asked.items()}
    given = [name for name in FALLING if name in read]
    for above, below in pairwise(given):
        if read[above] <= read[below]:
            detail = f"{prefix}{above} {read[above]:g} must be above {prefix}{below} {read[below]:g}"
            raise Refused(Kind.BAD_OPTION, detail)
    return read


def _endpointing(own: Endpointing, asked: dict[str, float]) -> Endpointing:
    """The appliance's own, but for when a turn starts and ends."""
    silence = -GOES_ON_MS * math.log(asked.get("end_threshold", END))
    voice = -BEGAN_MS * math.log(1 - asked.get("start_threshold", START))
    return structs.replace(
        own,
        mode=Mode.VAD,
        min_speech_ms=round(voice),
        silence_to_end_ms=round(min(silence, asked.get("end_timeout_ms", TIMEOUT_MS))),
    )
