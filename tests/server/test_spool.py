"""Where files take memory, and how much of it they leave."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from appliance.server.spool import KEEP_FREE, SpoolRoom, in_memory, read

DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"
TMP = "30 27 0:30 / /tmp rw,nosuid - tmpfs tmpfs rw,size=4g"
IMAGE = """\
1 0 0:1 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/x
2 1 0:2 / /media/root-rw rw shared:3 - tmpfs tmpfs-root rw
3 1 179:2 / /media/root-ro ro - squashfs /dev/mmcblk0p2 ro
4 1 179:3 / /data rw - ext4 /dev/mmcblk0p3 rw
5 1 0:1 /var/cache/private/appliance /var/cache/private/appliance rw - overlay o rw,upperdir=/media/root-rw/overlay
"""
ON_DISK = IMAGE.replace("tmpfs tmpfs-root", "ext4 /dev/mmcblk0p4")
UNSEEN = IMAGE.replace(" /media/root-rw rw", " /elsewhere rw")
READ_ONLY = "1 0 0:1 / / ro - overlay overlay ro,lowerdir=/a:/b"


@pytest.mark.parametrize(
    ("folder", "mounts", "memory"),
    [
        ("/var/cache/appliance", DISK, False),
        ("/tmp/x", DISK, False),
        ("/tmp/x", f"{DISK}\n{TMP}", True),
        ("/tmpfile", f"{DISK}\n{TMP}", False),
        ("/tmp", f"{DISK}\n{TMP}\n31 30 254:1 / /tmp rw - ext4 /dev/vdb rw", False),
        ("/a b/c", f"{DISK}\n" + r"30 27 0:30 / /a\040b rw - tmpfs tmpfs rw", True),
        ("/run", f"{DISK}\n30 27 0:30 / /run rw - ramfs none rw", True),
        ("/var/cache/private/appliance", IMAGE, True),
        ("/tmp", IMAGE, True),
        ("/data/update", IMAGE, False),
        ("/tmp", ON_DISK, False),
        ("/tmp", UNSEEN, True),
        ("/tmp", READ_ONLY, False),
        ("/tmp", "", False),
        ("/tmp", "not a line of it\n1 2 3 - \n", False),
    ],
)
def test_in_memory_folder_on_these_mounts(folder: str, mounts: str, memory: bool) -> None:
    assert in_memory(Path(folder), read(mounts)) is memory


def room(tmp_path: Path, available: int | None, kind: str) -> SpoolRoom:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - {kind} x rw")
    return SpoolRoom(tmp_path, lambda: available, mounts)


@pytest.mark.parametrize(("available", "kind"), [(KEEP_FREE + 10, "tmpfs"), (None, "tmpfs"), (0, "ext4")])
def test_require_with_room_raises_nothing(tmp_path: Path, available: int | None, kind: str) -> None:
    room(tmp_path, available, kind).require(10)


def test_require_more_than_is_left_raises_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it would lie in memory, of which 96 MiB are left and 96 MiB must stay") as full:
        room(tmp_path, KEEP_FREE + 9, "tmpfs").require(10)
    assert full.value.errno == errno.ENOSPC


def test_room_without_a_list_of_mounts_is_unbounded(tmp_path: Path) -> None:
    SpoolRoom(tmp_path, lambda: 0, tmp_path / "none").require(1 << 40)
