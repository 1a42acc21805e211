"""Journal records, read from a real socket with a reader of the protocol of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from appliance.board.journal import LONGEST, JournalHandler, handler
from tests.board.sockets import listening, received


def decoded(datagram: bytes) -> dict[str, str]:
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket]:
    with listening(f"{tmp_path}/socket") as receiver:
        yield receiver


@pytest.fixture
def log(tmp_path: Path) -> logging.Logger:
    logger = logging.Logger("appliance.test")
    logger.addHandler(JournalHandler(f"{tmp_path}/socket"))
    return logger


def only(journal: socket) -> dict[str, str]:
    (datagram,) = received(journal)
    return decoded(datagram)


def test_a_record_and_its_fields(journal: socket, log: logging.Logger) -> None:
    where = {"session": 17, "dialect": "elevenlabs", "problem": "idle", "microphone": "desk"}
    log.warning("session %d ended", 17, extra=where)
    fields = only(journal)
    assert int(fields.pop("CODE_LINE")) > 0
    assert fields == {
        "MESSAGE": "session 17 ended",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "appliance",
        "LOGGER": "appliance.test",
        "CODE_FILE": __file__,
        "CODE_FUNC": "test_a_record_and_its_fields",
        "SESSION": "17",
        "DIALECT": "elevenlabs",
        "PROBLEM": "idle",
        "MICROPHONE": "desk",
    }


def test_level_and_name_are_not_in_the_message(journal: socket, tmp_path: Path) -> None:
    """``logging.basicConfig`` gives a handler without a format one that has them."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        logging.basicConfig(level="INFO", handlers=[JournalHandler(f"{tmp_path}/socket")])
        logging.getLogger("appliance.test").info("hello")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert only(journal)["MESSAGE"] == "hello"


def test_what_a_record_does_not_say_is_no_field(journal: socket, log: logging.Logger) -> None:
    log.info("hello", extra={"session": None, "dialect": "native", "other": "x"})
    assert only(journal).keys().isdisjoint({"SESSION", "PROBLEM", "OTHER", "other"})


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (35, 4), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_levels(journal: socket, log: logging.Logger, level: int, priority: int) -> None:
    log.log(level, "hello")
    assert only(journal)["PRIORITY"] == str(priority)


def test_several_lines_cannot_forge_a_field(journal: socket, log: logging.Logger) -> None:
    log.error("one\nPRIORITY=0\ntwo", extra={"problem": "a\nSESSION=1"})
    fields = only(journal)
    assert fields["MESSAGE"] == "one\nPRIORITY=0\ntwo"
    assert fields["PRIORITY"] == "3"
    assert fields["PROBLEM"] == "a\nSESSION=1"
    assert "SESSION" not in fields


def test_an_exception_is_told(journal: socket, log: logging.Logger) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("it failed")
    assert only(journal)["MESSAGE"].startswith("it failed\nTraceback")


def test_a_long_message_is_cut_and_any_text_is_taken(journal: socket, log: logging.Logger) -> None:
    log.info("x" * (LONGEST + 1))
    assert len(only(journal)["MESSAGE"]) == LONGEST
    log.info("\ud800 ü")
    assert only(journal)["MESSAGE"] == "? ü"


def test_a_record_that_cannot_be_formatted_is_counted(journal: socket, log: logging.Logger) -> None:
    log.info("%d", "no number")
    log.info("hello")
    lost, hello = map(decoded, received(journal))
    assert lost["MESSAGE"] == "log records lost: 1"
    assert hello["MESSAGE"] == "hello"


def test_a_journal_that_does_not_read_is_not_waited_for(journal: socket, log: logging.Logger) -> None:
    for number in range(5000):
        log.info("%d", number)
    taken = len(received(journal))
    assert 0 < taken < 5000
    log.info("again")
    messages = [decoded(datagram)["MESSAGE"] for datagram in received(journal)]
    assert messages == [f"log records lost: {5000 - taken}", "again"]


def test_without_a_journal_nothing_is_raised(log: logging.Logger) -> None:
    log.info("hello")


def test_only_where_standard_error_is_the_journal(tmp_path: Path, journal: socket) -> None:
    error = os.fstat(2)
    ours = {"JOURNAL_STREAM": f"{error.st_dev}:{error.st_ino}"}
    assert isinstance(handler(ours, f"{tmp_path}/socket"), JournalHandler)
    assert handler({"JOURNAL_STREAM": f"{error.st_dev}:{error.st_ino + 1}"}, f"{tmp_path}/socket") is None
    assert handler({}, f"{tmp_path}/socket") is None
    assert handler(ours, f"{tmp_path}/none") is None
