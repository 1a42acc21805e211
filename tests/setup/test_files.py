import os
import stat

import pytest

from appliance.setup.files import File, Link, put


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file(tmp_path):
    put(tmp_path, File("/etc/a/b", "text\n", 0o640))
    path = tmp_path / "etc" / "a" / "b"
    assert (path.read_text(), mode(path), mode(path.parent)) == ("text\n", 0o640, 0o755)
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("folder", ["/root/.ssh", "/var/lib/iwd"])
def test_folders_that_are_nobody_elses_business(tmp_path, folder):
    put(tmp_path, File(f"{folder}/a", "", 0o600))
    assert mode(tmp_path / folder[1:]) == 0o700


def test_what_is_right_is_left_alone(tmp_path):
    put(tmp_path, File("/a", "1"))
    before = (tmp_path / "a").stat()
    put(tmp_path, File("/a", "1"))
    assert (tmp_path / "a").stat() == before
    put(tmp_path, File("/a", "1", 0o600))
    assert mode(tmp_path / "a") == 0o600
    put(tmp_path, File("/a", "2", 0o600))
    assert (tmp_path / "a").read_text() == "2"


def test_a_link(tmp_path):
    (tmp_path / "localtime").write_text("of the image")
    for target in ("/zone/a", "/zone/b", "/zone/b"):
        put(tmp_path, Link("/localtime", target))
        assert os.readlink(tmp_path / "localtime") == target


def test_a_file_in_the_place_of_a_link_leaves_what_it_led_to(tmp_path):
    (tmp_path / "other").write_text("1")
    (tmp_path / "a").symlink_to("other")
    put(tmp_path, File("/a", "1"))
    assert not (tmp_path / "a").is_symlink()
