"""The development recordings and models, which live beside the checkout and not in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PLACE = Path(os.environ.get("APPLIANCE_MATERIAL", Path(__file__).parents[2] / "shared"))


def shared(*parts: str) -> Path:
    """A file or folder of the development set; the test that asks is skipped, saying so, where it is absent."""
    path = PLACE.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"development material {'/'.join(parts)} is absent; set APPLIANCE_MATERIAL to where it is")
    return path
