import errno
import os
import stat

import pytest

from appliance.accounts import disk

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_is_made_is_its_owners_only(tmp_path, umask):
    folder = tmp_path / "state" / "accounts"
    before = os.umask(umask)
    try:
        disk.make_private(folder)
        disk.replace(folder / "a", b"1")
    finally:
        os.umask(before)
    assert (mode(folder), mode(folder / "a")) == (0o700, 0o600)
    assert (folder / "a").read_bytes() == b"1"


def test_a_folder_that_is_there_is_taken_and_a_file_is_not(tmp_path):
    disk.make_private(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        disk.make_private(tmp_path / "file")
    with pytest.raises(FileExistsError):
        disk.make_private(tmp_path / "file" / "below")


@root_only
def test_what_root_makes_belongs_to_the_owner_of_the_place(tmp_path):
    os.chown(tmp_path, 4321, 8765)
    disk.make_private(tmp_path / "accounts")
    disk.replace(tmp_path / "accounts" / "a", b"")
    for path in (tmp_path / "accounts", tmp_path / "accounts" / "a"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4321, 8765)


def test_replace_in_a_folder_of_ones_own_calls_no_chown(tmp_path, monkeypatch):
    """The units that update the program may not call it (``SystemCallFilter=~@privileged``)."""

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    monkeypatch.setattr(os, "chown", refused)
    disk.make_private(tmp_path / "folder")
    disk.replace(tmp_path / "folder" / "file", b"new")
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    disk.replace(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            disk.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_a_power_cut_left_is_replaced_and_no_link_is_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "a.new").symlink_to(tmp_path / "other")
    disk.replace(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "other").read_bytes() == b"mine"


def test_the_signature_tells_a_replacement_of_the_same_size(tmp_path):
    path = tmp_path / "a"
    assert disk.signature(path) is None
    disk.replace(path, b"1")
    first = disk.signature(path)
    disk.replace(path, b"2")
    assert first != disk.signature(path) is not None


def test_only_one_is_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "LOCK_S", 0.0)
    with disk.alone(tmp_path):
        with pytest.raises(TimeoutError) as error, disk.alone(tmp_path):
            pass
        assert error.value.strerror == "another process is changing it and does not end"
    with disk.alone(tmp_path):
        pass
