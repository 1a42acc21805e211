"""Finals beyond the configured silence: with one stream, and with as many as the machine sustains in real time."""

from __future__ import annotations

import asyncio
import json
import statistics
import urllib.request
from collections.abc import Sequence

from appliance.bench.clients import stream, streams
from appliance.bench.corpus import conversation
from appliance.bench.plan import CLOSED, FREE, KIOSK, WHISPER, Plan, Row, Tell, daemon, percentile

LATE_S = 0.5
"""A device that is later than this with a twentieth of its finals does not keep up."""


async def latency(plan: Plan, tell: Tell) -> None:
    """One stream; then more and more until the device does not keep up; then 80 % of what it sustained."""
    cases = ((WHISPER, FREE, (4, 8, 12, 16, 20, 24, 28, 32, 40), 150), (KIOSK, CLOSED, range(12, 121, 12), 200))
    for model, groups, steps, aim_ms in cases:
        audio = conversation(plan.clips(groups), plan.seconds)
        async with daemon(model, plan) as child:
            delays = (await stream(child.url, audio, paced=True)).delays
            _tell_delays(tell, f"final beyond the silence, {model.name}, 1 stream", delays, aim_ms)
            sustained = 1
            for count in steps:
                delays = [d for one in await streams(child.url, [audio] * count) for d in one.delays]
                if not delays or percentile(delays, 0.95) > LATE_S:
                    break
                sustained = count
            tell(Row(f"streams sustained in real time, {model.name} (clients on the same machine)", sustained))
            lag = json.loads(await asyncio.to_thread(_get, f"{child.url}/healthz"))["lag_p99_ms"]
            tell(Row(f"event loop lag p99 with the machine full, {model.name}", lag, "ms", "<= 10", lag <= 10))
            share = max(1, int(sustained * 0.8))
            delays = [d for one in await streams(child.url, [audio] * share) for d in one.delays]
            _tell_delays(tell, f"final beyond the silence, {model.name}, {share} streams", delays)


def _tell_delays(tell: Tell, what: str, delays: Sequence[float], aim_ms: int = 0) -> None:
    p95 = 1000 * percentile(delays, 0.95)
    tell(Row(f"{what}, p50", 1000 * statistics.median(delays), "ms"))
    tell(Row(f"{what}, p95", p95, "ms", f"<= {aim_ms}" if aim_ms else "", p95 <= aim_ms if aim_ms else None))


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body
