"""The mark of these tests, and the page that they write when asked: ``--compatibility docs/compatibility.md``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.clients.page import PROPERTY, Page

OURS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", metavar="FILE", help="write here what the clients' tests showed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: a vendor's own SDK against a box")
    config.addinivalue_line("markers", "proves(line): a line of docs/compatibility.md")
    path = config.getoption("--compatibility", None)
    if path and not hasattr(config, "workerinput"):  # with several processes, only the first one writes
        config.pluginmanager.register(Page(Path(path)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test carries its lines and its place to wherever its report is read."""
    for place, item in enumerate(items):
        if OURS in item.path.parents:
            item.add_marker("clients")
        for mark in item.iter_markers("proves"):
            item.user_properties.append((PROPERTY, msgspec.json.encode((place, mark.args[0])).decode()))
