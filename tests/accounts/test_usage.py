import errno
import json
import logging
import os
import stat
import threading

import pytest

from appliance.accounts import usage
from appliance.accounts.usage import Usage, UsageError, recorded


def test_usage_is_there_after_a_restart(tmp_path):
    first = Usage(tmp_path)
    assert first.used("k_1") == 0
    assert first.add("k_1", 1.5) == 1.5
    assert first.add("k_1", 2) == 3.5
    first.add("k_2", 7)
    assert recorded(tmp_path) == {}
    first.save()
    assert recorded(tmp_path) == {"k_1": 3.5, "k_2": 7}
    second = Usage(tmp_path)
    assert (second.used("k_1"), second.used("k_2")) == (3.5, 7)
    assert second.add("k_1", 1) == 4.5
    assert stat.S_IMODE((tmp_path / "usage.json").stat().st_mode) == 0o600


def test_what_has_not_changed_is_not_written(tmp_path):
    counts = Usage(tmp_path)
    counts.save()
    assert not (tmp_path / "usage.json").exists()
    counts.add("k_1", 1)
    counts.save()
    before = (tmp_path / "usage.json").stat()
    counts.save()
    assert (tmp_path / "usage.json").stat() == before


@pytest.mark.parametrize("text", [b"", b'{"k_1": 1', b'{"k_1": -1}', b'{"k_1": "1"}', b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_kept_aside(tmp_path, caplog, text):
    (tmp_path / "usage.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"usage\.json: "):
        recorded(tmp_path)
    counts = Usage(tmp_path)
    assert counts.used("k_1") == 0
    assert (tmp_path / "usage.json.damaged").read_bytes() == text
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("counting begins anew, the file is kept as usage.json.damaged")
    counts.add("k_1", 1)
    counts.save()
    assert recorded(tmp_path) == {"k_1": 1}


def test_a_damaged_file_that_cannot_be_moved_is_no_crash(tmp_path, caplog):
    (tmp_path / "usage.json").write_bytes(b"?")
    (tmp_path / "usage.json.damaged").mkdir()
    assert Usage(tmp_path).used("k_1") == 0
    assert caplog.records[0].getMessage().endswith("counting begins anew")


def test_a_disk_that_does_not_take_it_is_told_once_and_tried_again(tmp_path, caplog, monkeypatch):
    counts = Usage(tmp_path)

    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(usage, "replace", full)
        counts.add("k_1", 1)
        counts.save()
        counts.add("k_1", 2)
        counts.save()
        [record] = caplog.records
        assert "No space left" in record.getMessage()
    assert counts.used("k_1") == 3
    counts.save()  # though nothing was added since
    assert recorded(tmp_path) == {"k_1": 3}
    with monkeypatch.context() as patch:
        patch.setattr(usage, "replace", full)
        counts.add("k_1", 1)
        counts.save()
    assert len(caplog.records) == 2


def test_what_comes_while_it_is_written_is_written_the_next_time(tmp_path, monkeypatch):
    counts = Usage(tmp_path)
    counts.add("k_1", 1)

    def slow(path, data):
        assert not counts._saving.acquire(blocking=False), "no other thread writes meanwhile"
        counts.add("k_1", 10)  # counting does not wait for the disk
        path.write_bytes(data)

    with monkeypatch.context() as patch:
        patch.setattr(usage, "replace", slow)
        counts.save()
    assert recorded(tmp_path) == {"k_1": 1}
    counts.save()
    assert recorded(tmp_path) == {"k_1": 11}


def test_it_is_saved_by_other_threads_while_it_counts(tmp_path, caplog):
    counts, done, failures = Usage(tmp_path), threading.Event(), []

    def save():
        while not done.is_set():
            try:
                counts.save()
                json.loads((tmp_path / "usage.json").read_bytes())
            except FileNotFoundError:
                continue
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(20_000):
        counts.add(f"k_{i % 700}", 1)
    done.set()
    for thread in threads:
        thread.join()
    counts.save()
    assert failures == []
    assert caplog.text == ""
    assert sum(recorded(tmp_path).values()) == 20_000
