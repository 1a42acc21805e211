"""Published packs, installed with the command line as an operator does. Run by ``make published``; needs a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.packs.store import Installed, Store

OURS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if OURS in item.path.parents:
            item.add_marker("published")


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def installed(models_dir: Path) -> Callable[[str], Installed]:
    """Install a pack of the catalogue from any of its sources; skip the test when none can be reached."""

    def install(name: str) -> Installed:
        store = Store(models_dir)
        if name not in store.names():
            command = [sys.executable, "-m", "appliance", "models", "install", name, "--models-dir", str(models_dir)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode and "without a network" in done.stderr:
                pytest.skip(f"{name} cannot be had here: {done.stderr.strip()}")
            assert done.returncode == 0, done.stderr
        assert store.verify(name) == []
        return next(pack for pack in store.installed() if pack.name == name)

    return install
