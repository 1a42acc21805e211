import json
import multiprocessing
import os
import re
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from appliance.accounts import disk
from appliance.accounts.keys import Keys, KeysError
from appliance.core.problems import Kind

OWN = "a-key-of-one's-own/16+"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "accounts"


def test_key_file_without_the_field_grants_no_microphones(tmp_path):
    made, _ = Keys(tmp_path).create("from before", now=0)
    assert b"microphones" not in (tmp_path / "keys.json").read_bytes()
    assert not Keys(tmp_path).get(made.id).microphones


def test_a_key_is_found_by_its_text_only(folder):
    keys = Keys(folder)
    first, text = keys.create("first", now=1.0)
    second, other = keys.create("second", now=2.0, streams=2, seconds=60, expires=9.0, streaming=False, terms=False)
    assert re.fullmatch(r"sak_[A-Za-z0-9_-]{32}", text)
    assert re.fullmatch("k_[0-9a-f]{6}", first.id)
    assert text != other
    for reader in (keys, Keys(folder)):
        assert (reader.find(text), reader.find(other)) == (first, second)
        assert reader.get(second.id) == second
        assert reader.all() == (first, second)
        for wrong in ("", text[:-1], text + "x", text.upper(), first.id, first.digest.hex(), "\ud800", "ключ"):
            assert reader.find(wrong) is None
    assert (first.created, first.expires, first.streams, first.seconds) == (1.0, None, None, None)
    assert (first.streaming, first.terms) == (True, True)
    assert (second.expires, second.streams, second.seconds) == (9.0, 2, 60)
    assert (second.streaming, second.terms) == (False, False)


def test_the_text_is_nowhere_on_the_disk(folder):
    _, made = Keys(folder).create("first", now=0)
    _, own = Keys(folder).create("second", now=0, own=OWN)
    written = b"".join(path.read_bytes() for path in folder.rglob("*"))
    for text in (made, made.removeprefix("sak_"), own):
        assert text.encode() not in written
        assert json.dumps(text)[1:-1].encode() not in written


def test_only_the_owner_may_read(folder):
    keys = Keys(folder)
    key, _ = keys.create("first", now=0)
    for change in (lambda: None, lambda: keys.change(key.id, streams=1), lambda: keys.revoke(key.id)):
        change()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_same_key_hashes_differently_in_another_store(tmp_path):
    digests = {Keys(tmp_path / name).create("x", now=0, own=OWN)[0].digest for name in "ab"}
    assert len(digests) == 2


def test_looking_makes_no_folder(folder):
    assert Keys(folder).all() == ()
    assert not folder.exists()


def test_a_key_of_ones_own_is_known_once(folder):
    keys = Keys(folder)
    key, text = keys.create("mine", now=0, own=OWN)
    assert text == OWN
    with pytest.raises(KeysError, match=rf"known already, as {key.id} \(mine\)"):
        keys.create("again", now=0, own=OWN)
    keys.revoke(key.id)
    assert keys.create("again", now=0, own=OWN)[0].name == "again"


@pytest.mark.parametrize(
    "own", ["x" * 15, "x" * 513, "with a space in it", "tab\tin the middle", "schlüssel-von-mir", ""]
)
def test_a_key_of_ones_own_can_be_refused_and_is_not_repeated(folder, own):
    with pytest.raises(ValueError, match="a key ") as error:
        Keys(folder).create("x", now=0, own=own)
    assert not own or own not in str(error.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"streams": 0}, {"streams": 1.5}, {"seconds": -1}, {"seconds": float("nan")}, {"seconds": float("inf")},
        {"expires": 1e12}, {"terms": 1}, {"colour": "red"}, {"name": ""}, {"name": "x" * 65}, {"name": "a\nb"},
    ],
)  # fmt: skip
def test_bad_values_are_refused_and_nothing_changes(folder, bad):
    keys = Keys(folder)
    key, _ = keys.create("good", now=0)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the library's
        keys.create(**{"name": "x", "now": 0} | bad)
    with pytest.raises(ValueError):  # noqa: PT011
        keys.change(key.id, **bad)
    assert Keys(folder).all() == (key,)


def test_change_and_revoke(folder):
    keys = Keys(folder)
    first, text = keys.create("first", now=0, seconds=60, streams=1)
    second, _ = keys.create("second", now=0)
    changed = keys.change(first.id, seconds=None, terms=False)
    assert (changed.seconds, changed.terms, changed.streams, changed.name) == (None, False, 1, "first")
    assert keys.find(text) == changed
    assert keys.all() == (changed, second)
    assert keys.revoke(first.id) == changed
    assert keys.find(text) is keys.get(first.id) is None
    assert Keys(folder).all() == (second,)


@pytest.mark.parametrize("act", [lambda keys: keys.change("k_000000", streams=1), lambda keys: keys.revoke("k_000000")])
def test_a_key_that_is_not_there_is_said(folder, act):
    keys = Keys(folder)
    keys.create("first", now=0)
    with pytest.raises(KeysError, match="there is no key k_000000"):
        act(keys)


@pytest.mark.parametrize(
    ("fields", "used", "kind"),
    [
        ({}, 1e9, None),
        ({"expires": 10.1, "seconds": 60}, 59.9, None),
        ({"expires": 10.0}, 0, Kind.BAD_KEY),
        ({"seconds": 60}, 60, Kind.QUOTA_EXCEEDED),
        ({"seconds": 0}, 0, Kind.QUOTA_EXCEEDED),
        ({"streaming": False, "seconds": 0}, 0, Kind.NOT_ALLOWED),
        ({"terms": False, "streaming": False, "seconds": 0}, 0, Kind.TERMS_NOT_ACCEPTED),
        ({"expires": 1, "terms": False, "streaming": False, "seconds": 0}, 0, Kind.BAD_KEY),
    ],
)
def test_the_first_trouble_counts(folder, fields, used, kind):
    key, _ = Keys(folder).create("x", now=0, **fields)
    assert key.trouble(used, now=10.0) is kind


def test_changes_of_others_are_seen(folder):
    daemon, command = Keys(folder), Keys(folder)
    daemon.refresh()
    key, text = command.create("first", now=0)
    assert daemon.find(text) is None
    daemon.refresh()
    assert daemon.find(text) == key
    command.change(key.id, terms=False)
    daemon.refresh()
    assert not daemon.find(text).terms
    command.revoke(key.id)
    daemon.refresh()
    assert daemon.find(text) is None


def test_what_has_not_changed_is_not_read_again(folder, monkeypatch):
    keys = Keys(folder)
    keys.create("first", now=0)
    monkeypatch.setattr(Keys, "_read", lambda self: pytest.fail("read again"))
    keys.refresh()


def damaged(folder, text):
    (folder / "keys.json").write_bytes(text)


def gone(folder):
    (folder / "keys.json").unlink()


def no_file(folder):
    gone(folder)
    (folder / "keys.json").mkdir()


def doubled(folder):
    content = json.loads((folder / "keys.json").read_bytes())
    content["keys"] *= 2
    damaged(folder, json.dumps(content).encode())


TROUBLES = [
    pytest.param(lambda folder: damaged(folder, b""), "keys.json is damaged: ", id="empty"),
    pytest.param(lambda folder: damaged(folder, b'{"secret"'), "keys.json is damaged: ", id="torn"),
    pytest.param(lambda folder: damaged(folder, b'{"secret":"","keys":[{}]}'), "missing required field", id="fields"),
    pytest.param(lambda folder: damaged(folder, b'{"secret":"","keys":[],"x":1}'), "unknown field", id="unknown"),
    pytest.param(doubled, "two keys have the same id", id="doubled"),
    pytest.param(no_file, "keys.json cannot be read: Is a directory", id="unreadable"),
]


@pytest.mark.parametrize(("break_it", "words"), [*TROUBLES, pytest.param(gone, "keys.json is gone", id="gone")])
def test_while_it_runs_what_was_known_stays_and_the_log_tells_once(folder, caplog, break_it, words):
    daemon = Keys(folder)
    key, text = daemon.create("first", now=0)
    good = (folder / "keys.json").read_bytes()
    break_it(folder)
    for _ in range(3):
        daemon.refresh()
        assert daemon.find(text) == key
    [record] = caplog.records
    assert words in record.getMessage()
    if (folder / "keys.json").is_dir():
        (folder / "keys.json").rmdir()
    disk.replace(folder / "keys.json", good)
    Keys(folder).change(key.id, terms=False)
    daemon.refresh()
    assert not daemon.find(text).terms
    break_it(folder)
    daemon.refresh()
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("break_it", "words"), TROUBLES)
def test_at_the_start_and_for_changes_it_is_an_error(folder, break_it, words):
    keys = Keys(folder)
    keys.create("first", now=0)
    break_it(folder)
    with pytest.raises(KeysError, match=words):
        Keys(folder)
    before = (folder / "keys.json").stat()
    with pytest.raises(KeysError, match=words):
        keys.create("second", now=0)
    assert (folder / "keys.json").stat() == before


def test_keys_that_are_gone_are_not_made_anew_over_them(folder):
    keys = Keys(folder)
    keys.create("first", now=0)
    gone(folder)
    with pytest.raises(KeysError, match="is gone"):
        keys.create("second", now=0)


@pytest.mark.parametrize("trouble", ["place", "busy", "full"])
def test_a_disk_that_does_not_take_it_is_one_sentence(tmp_path, folder, monkeypatch, trouble):
    keys = Keys(folder)
    if trouble == "place":
        folder.write_bytes(b"")
        words = "File exists"
    elif trouble == "busy":
        folder.mkdir()
        monkeypatch.setattr(disk, "LOCK_S", 0.0)
        words = "another process"
    else:
        folder.mkdir()
        (folder / "keys.json.new").mkdir()
        words = "Is a directory"
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if trouble == "busy":
            disk._lock(descriptor, 0.0)
        with pytest.raises(KeysError, match=f"the keys in .* cannot be changed: {words}"):
            keys.create("first", now=0)
    finally:
        os.close(descriptor)
    assert keys.all() == ()


def create_some(folder: Path, name: str) -> list[str]:
    return [Keys(folder).create(f"{name}{i}", now=0)[1] for i in range(15)]


def test_processes_that_create_at_once_lose_no_key(folder):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        texts = [text for made in processes.map(create_some, [folder] * 2, "ab") for text in made]
    keys = Keys(folder)
    assert sorted(keys.find(text).name for text in texts) == sorted(key.name for key in keys.all())
    assert len({key.id for key in keys.all()}) == len(texts) == 30


def test_what_is_as_by_default_is_not_written(folder):
    """So that a program from before a field was added reads what one from after it has written."""
    keys = Keys(folder)
    key, _ = keys.create("first", now=1.0)
    assert set(json.loads((folder / "keys.json").read_bytes())["keys"][0]) == {"id", "name", "digest", "created"}
    keys.change(key.id, admin=True)
    assert json.loads((folder / "keys.json").read_bytes())["keys"][0]["admin"] is True
    keys.change(key.id, admin=False)
    assert "admin" not in json.loads((folder / "keys.json").read_bytes())["keys"][0]
