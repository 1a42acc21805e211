"""What a client may ask of a session. Durations are milliseconds of audio, as every cloud API counts them."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta, Struct

from appliance.core.events import RATE

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
"""Sample rates in Hz that some dialect or microphone uses."""


MULTILINGUAL = "mul"
"""ISO 639-2 code for several languages: any that the model knows, which one is detected."""


class Encoding(enum.StrEnum):
    """Wire encodings of the dialects: little-endian PCM, half and single floats, and G.711."""

    S16LE = "pcm_s16le"
    S32LE = "pcm_s32le"
    F16LE = "pcm_f16le"
    F32LE = "pcm_f32le"
    MULAW = "pcm_mulaw"
    ALAW = "pcm_alaw"


WIDTH: dict[Encoding, int] = {
    Encoding.S16LE: 2,
    Encoding.S32LE: 4,
    Encoding.F16LE: 2,
    Encoding.F32LE: 4,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
}
"""Bytes of one sample of one channel."""


class AudioFormat(Struct, frozen=True):
    """How the bytes of a stream are to be read; channels are interleaved and mixed down to one."""

    encoding: Encoding = Encoding.S16LE
    rate: int = RATE
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return WIDTH[self.encoding] * self.channels

    @property
    def bytes_per_second(self) -> int:
        return self.frame_bytes * self.rate


class Mode(enum.StrEnum):
    """Who ends a segment: silence (and commits), or commits alone."""

    VAD = "vad"
    MANUAL = "manual"


Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]


class Endpointing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When speech starts and ends. The defaults of pre-roll and hangover are measured: docs/decisions/0005."""

    mode: Mode = Mode.VAD
    threshold: Probability = 0.4
    """Voice probability from which a frame counts as voiced; it stays so until 0.15 below, or half of it."""
    min_speech_ms: Milliseconds = 96
    """Voiced audio needed before speech is said to have started."""
    min_silence_ms: Milliseconds = 96
    """A gap shorter than this inside speech is not silence."""
    silence_to_end_ms: Milliseconds = 500
    """Silence after speech that ends the segment."""
    pre_roll_ms: Milliseconds = 480
    """Audio before the first voiced frame that the recogniser still gets."""
    hangover_ms: Milliseconds = 320
    """Audio after the last voiced frame that the recogniser still gets; then its words are settled."""
    min_volume: Probability = 0.0
    """Root mean square (1 is full scale) below which a frame counts as silence whatever the detector says."""
    longest_ms: Annotated[int, Meta(ge=1_000, le=600_000)] = 30_000
    """A segment longer than this is cut, at a pause if there is one in its last tenth."""


class SessionOptions(Struct, frozen=True, kw_only=True):
    """One stream as the client wants it."""

    audio: AudioFormat = AudioFormat()
    languages: tuple[str, ...] = ()
    """Languages that may be spoken (ISO 639-1, lower case), preferred first; empty means the device's default.

    With several of them, or with ``MULTILINGUAL``, a multilingual model detects which one is spoken.
    """
    endpointing: Endpointing = Endpointing()
    partial_ms: int = 250
    """Speech between two partials; 0 means none."""
    phrases: tuple[str, ...] = ()
    """A closed grammar: only these phrases can be recognised. Empty means free speech."""
    acknowledge: bool = False
    """Tell by ``Heard`` how far the audio has been dealt with, for protocols that answer every message."""
    numerals: bool = False
    """Finals have numbers in digits (inverse text normalisation), where the language is one that can."""


class Changes(Struct, frozen=True, kw_only=True):
    """What may change while a session runs; ``None`` leaves a thing as it is."""

    audio: AudioFormat | None = None
    """Only before the first byte of audio; later it is ignored."""
    endpointing: Endpointing | None = None
    partial_ms: int | None = None
    phrases: tuple[str, ...] | None = None
    numerals: bool | None = None


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a dialect documents as its service's limits; an owner may set each otherwise. ``None``: no such limit."""

    idle_s: float | None = None
    """Without audio."""
    longest_s: float | None = None
    """Of a session, by the clock."""
    fast_s: float | None = None
    """Of sending faster than real time without a pause."""
    flush_s: float | None = None
    """Without audio, after which what was heard is settled as if the client had asked for it."""
    shortest_frame_ms: float | None = None
    """Audio of one message, at least."""
    longest_frame_ms: float | None = None
    """Audio of one message, at most."""
    sessions: int | None = None
    """Of one account at a time."""
    resume_s: float | None = None
    """That a session lives on without its socket; ``None``: it ends with the socket."""
    takeover_s: float | None = None
    """Since its socket was last heard, after which a session may be taken over by another one."""
