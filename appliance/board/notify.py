"""What systemd is told about the daemon: readiness, a status line, signs of life (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

from appliance.board.datagram import send

LONGEST = 1000
"""Characters of a status. Systemd drops a message of more than 4,096 bytes whole (NOTIFY_BUFFER_MAX)."""

log = logging.getLogger(__name__)


class Supervisor:
    """Systemd as the daemon sees it; without ``$NOTIFY_SOCKET`` every method does nothing.

    Nothing here raises or waits. libsystemd's own ``sd_notify`` waits while the manager is busy, so it is not used.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._status = ""
        self._failed = False
        self.watchdog_s = _watchdog_s(environment)
        """Seconds without ``alive`` after which the daemon is killed, or ``None``: call it twice as often."""

    @property
    def present(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """It serves: for the first time, or again after ``reloading``."""
        self._tell("READY=1", status)

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows. The same one is not sent twice in a row."""
        if _line(text) != self._status:
            self._tell(status=text)

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` must follow."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """It has begun to drain."""
        self._tell("STOPPING=1", status)

    def alive(self) -> None:
        """There was progress."""
        self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Starting or stopping goes on for up to so long from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _tell(self, state: str = "", status: str | None = None) -> None:
        if not self._address:
            return
        lines = [state] if state else []
        if status is not None:
            lines.append(f"STATUS={_line(status)}")
        try:
            send(self._address, "\n".join(lines).encode(errors="replace"))
        except (OSError, ValueError) as problem:
            if not self._failed:
                self._failed = True
                log.warning("systemd cannot be told how we are: %s", problem)
            return
        if status is not None:
            self._status = _line(status)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """What sd_watchdog_enabled(3) says: only for the process that is named, if one is."""
    try:
        wait_us = int(environment.get("WATCHDOG_USEC", "0"))
        pid = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return wait_us / 1e6 if wait_us > 0 and pid == os.getpid() else None
