"""Count the words that a recogniser invents in sounds without speech."""

from __future__ import annotations

from appliance.bench.clients import stream
from appliance.bench.noise import sounds
from appliance.bench.plan import WHISPER, Plan, Row, Tell, daemon

SECONDS = 50.0
"""Seconds of each of the 37 sounds; half an hour in all."""


async def invented(plan: Plan, tell: Tell) -> None:
    """Half an hour of noise, tones, breathing, keyboard and silence through the daemon: no final may come."""
    finals, partials, seconds = 0, 0, 0.0
    async with daemon(WHISPER, plan) as child:
        for name, audio in sounds(SECONDS):
            heard = await stream(child.url, audio, paced=False)
            seconds += len(audio) / 32_000
            finals += len(heard.finals)
            partials += len(heard.partials)
            for text in heard.finals:
                tell(Row(f"invented in {name}: {text[:60]!r}", 1, "final"))
    minutes = f"{seconds / 60:.0f} minutes without speech"
    tell(Row(f"finals in {minutes}", finals, "", "= 0", finals == 0))
    tell(Row(f"partials in {minutes}", partials))
