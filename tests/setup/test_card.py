import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.setup.card import Card


@pytest.fixture
def ran():
    return []


@pytest.fixture
def card(tmp_path, ran):
    (tmp_path / "appliance.txt").touch()
    return Card(tmp_path, ran.append)


@pytest.fixture
def read_only(card, tmp_path, ran, monkeypatch):
    """A mount that says that it is read-only, until told otherwise."""
    state = SimpleNamespace(flag=os.ST_RDONLY)

    def run(command):
        ran.append(command)
        state.flag = 0 if "remount,rw" in command else os.ST_RDONLY

    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=state.flag))
    card._run = run
    return state


def remounts(ran):
    return [command[2] for command in ran]


def test_windows_can_read_it(card, tmp_path):
    card.write("a.txt", "1\n2\n")
    assert (tmp_path / "a.txt").read_bytes() == b"1\r\n2\r\n"
    assert card.read("a.txt") == b"1\r\n2\r\n"
    assert card.read("b.txt") is None


def test_what_can_be_written_to_is_not_mounted_anew(card, ran):
    card.write("a.txt", "1")
    assert ran == []


def test_it_is_writable_for_a_moment(card, tmp_path, ran, read_only):
    card.write("a.txt", "1")
    assert remounts(ran) == ["remount,rw", "remount,ro"]
    assert ran[0] == ("mount", "-o", "remount,rw", str(tmp_path))
    assert read_only.flag == os.ST_RDONLY


def test_what_is_so_already_is_not_written(card, ran, read_only):
    card.write("a.txt", "1\n")
    ran.clear()
    card.write("a.txt", "1\n")
    card.remove("b.txt")
    assert ran == []
    card.remove("a.txt")
    assert remounts(ran) == ["remount,rw", "remount,ro"]
    assert card.read("a.txt") is None


def test_it_is_read_only_again_when_writing_fails(card, tmp_path, ran, read_only):
    with pytest.raises(FileNotFoundError):
        card.write("missing/a.txt", "1")
    assert remounts(ran) == ["remount,rw", "remount,ro"]


def test_a_card_that_stays_writable_is_told_and_no_failure(card, ran, read_only):
    def run(command):
        if "remount,ro" in command:
            raise OSError(None, "mount: busy")
        read_only.flag = 0

    card._run = run
    card.write("a.txt", "1")
    assert card.complaint == "the card stays writable: mount: busy"


def test_whether_it_is_there(tmp_path, card):
    assert card.there
    (tmp_path / "appliance.txt").unlink()
    assert not card.there
    assert Card(Path("/proc"), card._run).there
