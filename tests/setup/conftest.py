import pytest

from tests.setup.box import TestBox


@pytest.fixture
def box(tmp_path):
    return TestBox(tmp_path / "root")
