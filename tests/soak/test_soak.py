"""Ten minutes of eight streams that come and go: memory, threads and descriptors stay what they were. ``make soak``."""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from appliance.bench.clients import stream
from appliance.bench.processes import Usage, usage
from appliance.cli.child import own_daemon
from tests.box import run
from tests.speech import spoken

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
STREAMS = 8
WARM_UP = 0.3
"""Of the time; caches and pools fill in it."""


@pytest.mark.soak
@pytest.mark.parametrize("model", ["kiosk-words", "pocketsphinx-en-us"])
def test_nothing_grows(model: str) -> None:
    if model == "pocketsphinx-en-us" and MINUTES < 2:
        pytest.skip("too short for a decoder that is slower than the kiosk's")
    audio = spoken("start two five enter") + spoken("stop")
    seconds = MINUTES * 60 / (1 if model == "kiosk-words" else 2)

    async def work() -> None:
        chance = random.Random(0)
        samples: list[Usage] = []
        served = 0
        async with own_daemon("--model", model, quiet=True) as child:
            end = time.monotonic() + seconds

            async def client() -> None:
                nonlocal served
                while time.monotonic() < end:
                    whole = chance.random() < 0.8
                    try:
                        async with asyncio.timeout(None if whole else chance.random() * 3):  # some hang up in mid-word
                            await stream(child.url, audio, paced=True)
                        served += 1
                    except (TimeoutError, OSError):
                        pass
                    except Exception as error:
                        if "429" not in str(error):
                            raise

            clients = [asyncio.create_task(client()) for _ in range(STREAMS)]
            while time.monotonic() < end:
                await asyncio.sleep(min(5.0, seconds / 30))
                samples.append(usage(child.pid))
            await asyncio.gather(*clients)
            await asyncio.sleep(3.0)
            samples.append(usage(child.pid))
        settled = samples[int(len(samples) * WARM_UP) : -1]
        third = max(1, len(settled) // 3)
        before = sum(sample.pss_mib for sample in settled[:third]) / third
        after = sum(sample.pss_mib for sample in settled[-third:]) / third
        print(f"\n{model}: {served} streams; {before:.1f} MiB early, {after:.1f} MiB late; idle again: {samples[-1]}")
        assert served > STREAMS
        assert after <= before * 1.05 + 2
        assert max(s.threads for s in settled[-third:]) <= max(s.threads for s in settled[:third]) + 2
        assert max(s.descriptors for s in settled[-third:]) <= max(s.descriptors for s in settled[:third]) + 8

    run(work, seconds + 120)
