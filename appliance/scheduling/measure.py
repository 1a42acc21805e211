"""The worker's side of a measurement: sessions of its own, fed in turn and as fast as they take it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from appliance.core.events import RATE, AnyEvent, Final
from appliance.core.session import Session
from appliance.scheduling.messages import Measure, Measured

PIECE = 3_200
"""Bytes: 100 ms, as most clients send."""


def measure(sessions: Sequence[Session], asked: Measure) -> Measured:
    """What the audio costs in all of these, and what the first one hears of it; they are closed at the end."""
    began, cpu_s = time.monotonic(), time.process_time()
    heard: list[AnyEvent] = []
    pieces = [asked.audio[start : start + PIECE] for start in range(0, len(asked.audio), PIECE)]
    offsets = [len(pieces) * number // len(sessions) for number in range(len(sessions))]
    try:
        for turn in range(len(pieces)):
            if time.monotonic() - began > asked.limit_s:
                break
            for session, offset in zip(sessions, offsets, strict=True):
                events = session.push(pieces[(turn + offset) % len(pieces)])
                heard += [event for event in events if session is sessions[0]]
        audio = sum(session.consumed for session in sessions)
        ended, final_s = time.monotonic(), 0.0
        for session in sessions:
            heard += [event for event in session.finish() if session is sessions[0]]
            final_s = final_s or time.monotonic() - ended
    finally:
        for session in sessions:
            session.close()
    text = " ".join(event.text for event in heard if isinstance(event, Final) and event.text)
    wall_s = time.monotonic() - began
    return Measured(asked.model, time.process_time() - cpu_s, wall_s, audio / 2 / RATE, text, final_s)
