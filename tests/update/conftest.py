"""What the tests of updates share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.update.box import Box, Signer


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Whom boxes trust."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed (openssh-client)")
    return Signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def box(tmp_path: Path, signer: Signer) -> Box:
    """A box that ships 1.0."""
    return Box(tmp_path, signer)
