"""The daemon's share in updates: it takes what is sent, tells how they stand, and changes nothing itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from starlette.routing import BaseRoute

from appliance.accounts.gate import Accounts
from appliance.server.spool import SpoolRoom
from appliance.server.updates import Updates
from appliance.update.releases import Places, status
from appliance.update.verdict import Outcome

LOOK_S = 10.0
"""Between two looks at how the last update went."""


class Updating:
    """``places`` are those of the installed box: elsewhere there is nothing, and that is told."""

    def __init__(self, places: Places, environment: Mapping[str, str] = os.environ) -> None:
        self._places = places
        self._environment = environment

    def routes(self, accounts: Accounts, memory: Callable[[], int | None] = lambda: None) -> list[BaseRoute]:
        """Those by which updates come. ``memory`` gives the bytes of memory left, ``None`` if unknown."""
        cache = self._folder("CACHE_DIRECTORY")
        room = None if cache is None else SpoolRoom(cache, memory)
        return Updates(accounts, cache, self._folder("RUNTIME_DIRECTORY"), self._told, room).routes()

    async def watch(self, note: Callable[[str, str], None]) -> None:
        """Until cancelled: an update that was not kept is noted until another one is. Nobody else may have read it."""
        while True:
            verdict = (await asyncio.to_thread(status, self._places)).verdict
            failed = verdict is not None and verdict.outcome in (Outcome.BACK, Outcome.REFUSED)
            note("update", verdict.line if verdict is not None and failed else "")
            await asyncio.sleep(LOOK_S)

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(status(self._places))
        return told

    def _folder(self, variable: str) -> Path | None:
        """A folder that systemd has made for the service; ``None`` without systemd."""
        named = self._environment.get(variable)
        return Path(named.split(":")[0]) if named else None
