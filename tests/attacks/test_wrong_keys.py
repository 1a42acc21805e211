"""Sockets with wrong keys while a good key of the same address asks for streams."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.exceptions import InvalidStatus

from appliance.accounts.attempts import WAITING
from appliance.accounts.keys import Keys
from tests.box import box, fake, run
from tests.server.test_bad_input import FAST, client

ATTACKERS = WAITING + 4
TRIES = 20


def test_wrong_keys_of_one_address_lock_out_no_good_key() -> None:
    async def work() -> None:
        async with box(fake(), server={"auth": "keys"}, **FAST) as daemon:
            good = Keys(daemon.config.state_dir / "accounts").create("kitchen", now=1.8e9)[1]
            async with client(daemon, **{"x-api-key-id": good}):
                pass
            for _ in range(8):
                daemon.accounts._attempts.failed("127.0.0.1", daemon.accounts._clock())  # reaches the longest delay

            async def attack() -> None:
                while True:
                    with contextlib.suppress(InvalidStatus):
                        async with client(daemon, **{"x-api-key-id": "sak_wrong-wrong-wrong-wrong"}):
                            pass

            attackers = [asyncio.create_task(attack()) for _ in range(ATTACKERS)]
            try:
                while not daemon.accounts._attempts.crowded("127.0.0.1"):
                    await asyncio.sleep(0.01)
                refused = 0
                for _ in range(TRIES):
                    try:
                        async with client(daemon, **{"x-api-key-id": good}):
                            pass
                    except InvalidStatus:
                        refused += 1
                assert daemon.accounts.delay("127.0.0.1") == 5, "guessing stays slow"
                assert refused == 0
            finally:
                for task in attackers:
                    task.cancel()
                await asyncio.gather(*attackers, return_exceptions=True)

    run(work, 20)
