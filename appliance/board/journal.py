"""Log records for the journal with fields to search by, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from appliance.board.datagram import send

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "appliance"
LONGEST = 48 * 1024
"""Bytes of a value; far below what a datagram holds, so that it need not go through a file."""
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels from which syslog's priorities hold; below them all it is 7, debug."""
ATTRIBUTES = {"session": "SESSION", "dialect": "DIALECT", "problem": "PROBLEM", "microphone": "MICROPHONE"}
"""Attributes of a record (``extra=``) that become fields."""


def handler(environment: Mapping[str, str] = os.environ, address: str = SOCKET) -> logging.Handler | None:
    """A handler when standard error is the journal, else ``None``."""
    try:
        error = os.fstat(2)
    except OSError:
        return None
    is_journal = environment.get("JOURNAL_STREAM") == f"{error.st_dev}:{error.st_ino}"
    return JournalHandler(address) if is_journal and os.path.exists(address) else None


class JournalHandler(logging.Handler):
    """Sends each record as one datagram. A record that the journal does not take at once is counted and told later."""

    def __init__(self, address: str = SOCKET) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # level and name are fields
        self._address = address
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        try:
            if self._lost:
                send(self._address, encode(_loss(self._lost)))
                self._lost = 0
            send(self._address, encode(self._fields(record)))
        except Exception:  # whatever a record's arguments do when they are formatted must not end a session
            self._lost += 1

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        own = {name: value for name in ATTRIBUTES if (value := getattr(record, name, None)) is not None}
        return {
            "MESSAGE": self.format(record),
            "PRIORITY": str(next((priority for level, priority in PRIORITIES if record.levelno >= level), 7)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            **{ATTRIBUTES[name]: str(value) for name, value in own.items()},
        }


def encode(fields: Mapping[str, str]) -> bytes:
    """An entry in the native protocol; a value of several lines is preceded by its length."""
    entry = bytearray()
    for name, text in fields.items():
        value = text.encode(errors="replace")[:LONGEST]
        if b"\n" in value:
            entry += name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
        else:
            entry += name.encode() + b"=" + value + b"\n"
    return bytes(entry)


def _loss(count: int) -> dict[str, str]:
    return {"MESSAGE": f"log records lost: {count}", "PRIORITY": "4", "SYSLOG_IDENTIFIER": IDENTIFIER}
