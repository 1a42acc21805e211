"""The listen test: what a microphone delivers, in figures and in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.audio.pcm import clipped, level
from appliance.audio.resample import Resampler
from appliance.capture.devices import CaptureError
from appliance.capture.microphone import Guard, Microphone
from appliance.capture.wire import State
from appliance.config import MicrophoneConfig
from appliance.core.events import Final
from appliance.core.options import SessionOptions
from appliance.core.ports import Recognizer, VadModel
from appliance.core.session import Session
from appliance.doctor.findings import Finding, finding

OPENING_S = 20.0
"""For the card to be opened, beside the seconds of listening."""
BLOCK_S = 0.05
"""Of audio, for one figure of level."""
DEAD_DB = -95.0
QUIET_DB, FAINT_DB = -45.0, -35.0
"""Speech below is too quiet, or rather quiet: recognisers lose words there to the noise of the converter."""
NOISY_DB = -40.0
"""A floor above it covers speech of usual level, some 20 dB louder."""
CLIPPING, TOUCHING = 1e-3, 1e-5
"""Share of the samples at the end of the range that is heard, and that shows that it nearly is."""
OFFSET = 0.02
"""Share of full scale."""

Level = Callable[[float], None]


class Taken(Struct, frozen=True, kw_only=True):
    """``samples`` as the card gave them (mono, at ``rate`` Hz); ``overruns``: times that audio was lost."""

    samples: NDArray[np.int16]
    rate: int
    card: str
    overruns: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


class Heard(Struct, frozen=True, kw_only=True):
    """``voice`` says of each 32 ms whether it was speech; ``text`` is what was recognised."""

    voice: tuple[bool, ...]
    text: str
    model: str


def listen(
    microphone: MicrophoneConfig, seconds: float, on_level: Level = lambda db: None, guard: Guard | None = None
) -> Taken:
    """Record through the daemon's own reader. ``on_level`` hears of the level (dBFS) 10 times a second.

    ``guard`` is what ``door.opened`` gives. Raises ``CaptureError`` when the card cannot be opened or is lost.
    """
    return asyncio.run(_listen(microphone, seconds, on_level, guard))


def hear(taken: Taken, recognizer: Recognizer, voice: VadModel) -> Heard:
    """What the session makes of it."""
    resampler = Resampler(taken.rate)
    samples = np.concatenate((resampler.push(taken.samples), resampler.flush()))
    frames = samples[: len(samples) // voice.frame * voice.frame].reshape(-1, voice.frame)
    probabilities = voice.stream().probabilities(frames)
    session = Session(SessionOptions(partial_ms=0), recognizer, voice.stream())
    try:
        events = [*session.push(samples.tobytes()), *session.finish()]
    finally:
        session.close()
    text = " ".join(event.text for event in events if isinstance(event, Final) and event.text)
    return Heard(voice=tuple(p >= 0.5 for p in probabilities), text=text, model=recognizer.capabilities.model)


def judge(taken: Taken, heard: Heard | None = None) -> list[Finding]:
    """The figures with a verdict each. Pure."""
    samples = taken.samples
    offset = float(np.mean(samples)) / 32_768 if len(samples) else 0.0
    centred = (samples - np.round(offset * 32_768)).clip(-32_768, 32_767).astype(np.int16)
    peak = 20 * np.log10(max(1, int(np.abs(samples.astype(np.int32)).max(initial=0))) / 32_768)
    levels = blocks(samples, taken.rate)
    floor = float(np.percentile(levels, 10)) if levels else -100.0
    share = clipped(samples) / max(1, len(samples))
    spoken = _spoken(levels, heard)
    findings = [
        _level(level(centred), peak, spoken, heard is not None),
        _noise(floor, spoken),
        _clipping(share),
        _offset(offset),
        _overruns(taken.overruns),
    ]
    return [*findings, *([_speech(heard)] if heard is not None else [])]


def blocks(samples: NDArray[np.int16], rate: int) -> list[float]:
    """The level of each 50 ms in dBFS, without its offset."""
    size = int(rate * BLOCK_S)
    rows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    return [max(-100.0, 20 * float(np.log10(max(loud, 1e-9) / 32_768))) for loud in rows.std(axis=1)]


def _spoken(levels: list[float], heard: Heard | None) -> float | None:
    """The level of the blocks with voice, dBFS; ``None`` without any."""
    if heard is None or not any(heard.voice) or not levels:
        return None
    voice = np.interp(np.linspace(0, 1, len(levels)), np.linspace(0, 1, len(heard.voice)), heard.voice) > 0.5
    powers = [10 ** (db / 10) for db, speech in zip(levels, voice, strict=True) if speech]
    return float(10 * np.log10(np.mean(powers))) if powers else None


def _level(rms: float, peak: float, spoken: float | None, thorough: bool) -> Finding:
    facts = [f"peak {peak:.1f} dBFS, average {rms:.1f} dBFS"]
    if rms <= DEAD_DB:
        advice = "unmute the capture switch with alsamixer (F4), or choose another channel of the card"
        if not thorough:  # some microphones deliver nothing while nobody speaks
            return finding("level", facts, notes=["digital silence"], advice=f"if it stays so: {advice}")
        return finding("level", facts, bad=["digital silence"], advice=advice)
    if spoken is None:
        return finding("level", facts)
    facts.append(f"speech {spoken:.1f} dBFS")
    words = [text for limit, text in ((QUIET_DB, "too quiet"), (FAINT_DB, "rather quiet")) if spoken < limit][:1]
    advice = "raise the capture volume with alsamixer (F4), or speak nearer to it" * bool(words)
    if spoken < QUIET_DB:
        return finding("level", facts, bad=words, advice=advice)
    return finding("level", facts, notes=words, advice=advice)


def _noise(floor: float, spoken: float | None) -> Finding:
    facts = [f"noise floor {floor:.1f} dBFS" if floor > DEAD_DB else "noise floor: digital silence"]
    if spoken is not None and floor > DEAD_DB:
        facts.append(f"speech stands {spoken - floor:.0f} dB above it")
    if floor > NOISY_DB:
        return finding(
            "noise", facts, notes=["noisy"], advice="move it away from fans; lower its gain and speak nearer"
        )
    return finding("noise", facts)


def _clipping(share: float) -> Finding:
    facts = [f"{share:.3%} of the samples stand at the end of the range"] if share else ["none"]
    advice = "lower the capture volume with alsamixer (F4)"
    if share > CLIPPING:
        return finding("clipping", facts, bad=["clipping: loud speech is cut off"], advice=advice)
    if share > TOUCHING:
        return finding("clipping", facts, notes=["a little clipping"], advice=advice)
    return finding("clipping", facts)


def _offset(offset: float) -> Finding:
    notes = ["the signal is not centred: a cheap card, or one without power"] if abs(offset) > OFFSET else []
    return finding("offset", [f"DC offset {offset:.2%} of full scale"], notes=notes)


def _overruns(count: int) -> Finding:
    notes = ["the machine was too busy, or the bus too slow"] if count else []
    return finding("overruns", [f"audio was lost {count} times" if count else "none"], notes=notes)


def _speech(heard: Heard) -> Finding:
    share = sum(heard.voice) / max(1, len(heard.voice))
    if not any(heard.voice):
        return finding(
            "speech", ["no speech was detected"], notes=["say something while it listens"],
            advice="if you did: is it this microphone, and is its volume up? alsamixer (F4)",
        )  # fmt: skip
    facts = [f"speech in {share:.0%} of the time", f"{heard.model} wrote: {heard.text or '(nothing)'}"]
    return finding("speech", facts, notes=[] if heard.text else ["speech, but no words"])


async def _listen(wanted: MicrophoneConfig, seconds: float, on_level: Level, guard: Guard | None) -> Taken:
    pieces: list[bytes] = []
    rates: list[int] = []
    done = asyncio.get_running_loop().create_future()
    size, told = 0, 0

    def opened(rate: int) -> None:
        rates.append(rate)

    def audio(piece: bytes) -> None:
        nonlocal size, told
        pieces.append(piece)
        size += len(piece)
        tenth = rates[-1] // 10 * 2
        if size - told >= tenth:
            told = size
            on_level(level(np.frombuffer(b"".join(pieces[-6:])[-tenth:], np.int16)))
        if size >= seconds * rates[-1] * 2 and not done.done():
            done.set_result("")

    def state(now: State, reason: str) -> None:
        if now in (State.ABSENT, State.BUSY, State.LOST) and reason != "closed" and not done.done():
            done.set_result(reason)

    microphone = Microphone(
        wanted.name, device=wanted.device, rate=wanted.rate, channel=wanted.channel,
        on_audio=audio, on_open=opened, on_state=state, guard=guard,
    )  # fmt: skip
    running = asyncio.create_task(microphone.run())
    try:
        reason = await asyncio.wait_for(done, OPENING_S + seconds)
        card = microphone.reason
    except TimeoutError:
        reason = "the card delivered nothing"
    finally:
        await microphone.close()
        await running
    if reason:
        raise CaptureError(reason)
    samples = np.frombuffer(b"".join(pieces)[: int(seconds * rates[-1]) * 2], np.int16)
    return Taken(samples=samples, rate=rates[-1], card=card, overruns=microphone.overruns)
