"""Run inside of a network namespace: ``announce HOST ID PORT`` a box until SIGTERM, or ``watch`` what is announced."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import Any

from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from appliance.server import machine
from appliance.server.discovery import TYPE, Announcement, Announcer, box
from appliance.server.naming import interfaces, reachable

CHECK_S = 0.3
FLUSH_S = 1.2
"""What an announcement replaces is gone a second after it (RFC 6762, 10.2)."""


def announcement(host: str = "kitchen", id: str = "0a1b2c", port: int = 8080, **other: Any) -> Announcement:
    """Of a box that serves everything."""
    facts: dict[str, Any] = {
        "name": host,
        "bound": "0.0.0.0",
        "tls_port": port + 1,
        "version": "1.2.3",
        "auth": "keys",
        "languages": ("en", "de"),
        "paths": {"native": "/v1/stream"},
    }
    return Announcement(**{**facts, "host": host, "id": id, "port": port, **other})


def say(**facts: Any) -> None:
    """One line of JSON to whoever started us."""
    print(json.dumps(facts), flush=True)


class Spoken(logging.Handler):
    """Warnings, as lines like the others."""

    def emit(self, record: logging.LogRecord) -> None:
        say(log=record.getMessage())


async def announce(host: str, id: str, port: int) -> None:
    """A box's announcer; says what it is published as whenever that changes."""
    logging.getLogger("appliance").addHandler(Spoken())
    announcer = Announcer(announcement(host, id, port), check_s=CHECK_S)
    work = asyncio.create_task(announcer.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    said = None
    while not work.done():
        if announcer.published != said:
            said = announcer.published
            say(published=said)
        await asyncio.wait({work}, timeout=0.05)


async def watch() -> None:
    """Says what appears, changes and goes, with what it resolves to."""
    waiting: set[asyncio.Task[None]] = set()

    async def resolve(change: str, name: str) -> None:
        await asyncio.sleep(FLUSH_S)
        service = ServiceInfo(TYPE, name)
        if await service.async_request(network.zeroconf, 3000):
            found = box(service)
            say(event=change, name=found.name, host=found.host, port=found.port, addresses=sorted(found.addresses))

    def told(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed:
            say(event="Removed", name=name.removesuffix(f".{TYPE}"))
        else:
            task = asyncio.ensure_future(resolve(state_change.name, name))
            waiting.add(task)
            task.add_done_callback(waiting.discard)

    network = AsyncZeroconf(interfaces=interfaces(reachable(machine.names(), "0.0.0.0")))
    AsyncServiceBrowser(network.zeroconf, TYPE, handlers=[told])
    say(event="watching")
    await asyncio.Event().wait()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "announce":
        asyncio.run(announce(arguments[0], arguments[1], int(arguments[2])))
    else:
        asyncio.run(watch())
