import os
import shutil
import subprocess

import pytest

from appliance.setup.apply import run_here
from appliance.setup.ssh import FOLDER, KEY, host_key
from tests.setup.test_keys import PowerCut

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def fake(command):
    with open(command[-1], "w") as file:
        file.write("private")


def test_it_is_made_once(tmp_path):
    host_key(tmp_path, fake)
    host_key(tmp_path, lambda command: pytest.fail("made again"))
    assert (tmp_path / FOLDER / KEY).read_text() == "private"
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700


def test_the_power_may_fail_at_any_moment(tmp_path, monkeypatch):
    """What has its name is whole."""
    for moment in range(20):
        folder = tmp_path / str(moment)
        folder.mkdir()
        left = moment

        def failing(call):
            def instead(*arguments, **more):
                nonlocal left
                left -= 1
                if left < 0:
                    raise PowerCut
                return call(*arguments, **more)

            return instead

        cut = False
        with monkeypatch.context() as patch:
            for name in ("mkdir", "open", "fsync", "rename"):
                patch.setattr(os, name, failing(getattr(os, name)))
            try:
                host_key(folder, fake)
            except PowerCut:
                cut = True
        assert (folder / FOLDER).exists() in ((False, True) if cut else (True,))
        if (folder / FOLDER).exists():
            assert (folder / FOLDER / KEY).read_text() == "private"
        host_key(folder, fake)
        assert (folder / FOLDER / KEY).read_text() == "private"
        if not cut:
            assert moment > 5
            return
    pytest.fail("it never came to its end")


def test_half_of_one_is_made_anew(tmp_path):
    (tmp_path / f"{FOLDER}.new").mkdir()
    (tmp_path / f"{FOLDER}.new" / KEY).write_text("ha")
    (tmp_path / FOLDER).mkdir()
    host_key(tmp_path, fake)
    assert (tmp_path / FOLDER / KEY).read_text() == "private"
    assert sorted(path.name for path in tmp_path.iterdir()) == [FOLDER]


@needs_ssh
def test_a_real_one(tmp_path):
    host_key(tmp_path, run_here)
    key = tmp_path / FOLDER / KEY
    assert key.stat().st_mode & 0o777 == 0o600
    said = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert "(ED25519)" in said
