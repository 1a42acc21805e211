"""docs/compatibility.md, written from what a run of the tests showed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct, json

from tests.clients.sdks import Sdk

PROPERTY = "proves"
WORKS = "works"
FAILS = "**fails**"

HEAD = """\
# Which clients work

Written by `make clients`, which runs each vendor's own SDK as a customer installs it against a daemon with a real
recogniser and real speech; nothing here is edited by hand. The programs are in `tests/clients/apps`.

What the second column says: **works**, as with the vendor; **differs**, and how; **refused**, and how the program is
told. A line that the last run could not show says why.
"""
DIALECTS = (
    "AssemblyAI v2",
    "AssemblyAI v3",
    "Cartesia",
    "ElevenLabs",
    "Speechall",
    "Gnani Vachana",
    "vosk-server",
)


class Line(Struct, frozen=True):
    """One feature of one client, and what is to be said of it."""

    dialect: str
    client: str
    feature: str
    outcome: str = WORKS


def proves(dialect: str, client: Sdk | str, feature: str, outcome: str = WORKS) -> pytest.MarkDecorator:
    """The line of the page that a test stands for, should it pass. Several may stand for one: then all have to."""
    assert dialect in DIALECTS
    line = Line(dialect, client if isinstance(client, str) else client.title, feature, outcome)
    return pytest.mark.proves(line)


class Page:
    """A plugin of pytest that hears of each test's end, in whichever process it ran."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._order: dict[tuple[str, str, str], int] = {}
        self._said: dict[tuple[str, str, str], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name != PROPERTY:
                continue
            place, line = json.decode(str(value), type=tuple[int, Line])
            key = line.dialect, line.client, line.feature
            self._order[key] = min(place, self._order.get(key, place))
            if report.failed:
                self._said[key] = FAILS
            elif report.skipped and self._said.get(key) != FAILS:
                self._said[key] = f"not shown: {report.longrepr[2].removeprefix('Skipped: ')}"  # type: ignore[index]
            elif report.when == "call":
                self._said.setdefault(key, line.outcome)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._path.write_text(str(self))

    def __str__(self) -> str:
        text, section = HEAD, ("", "")
        for key in sorted(self._said, key=self._place):
            dialect, client, feature = key
            if (dialect, client) != section:
                section = dialect, client
                text += f"\n## {dialect}: {client}\n\n| feature | here |\n| --- | --- |\n"
            text += f"| {feature} | {self._said[key]} |\n"
        return text

    def _place(self, key: tuple[str, str, str]) -> tuple[int, int, int]:
        """By dialect, then clients as the tests have them, then the tests."""
        first = min(place for other, place in self._order.items() if other[:2] == key[:2])
        return DIALECTS.index(key[0]), first, self._order[key]
