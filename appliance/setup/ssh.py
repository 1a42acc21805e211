"""The ssh daemon's own key: made once, kept with the data, so that a box is the same one after every start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from appliance.setup.card import Run

FOLDER = "ssh"
KEY = "ssh_host_ed25519_key"


def host_key(folder: Path, run: Run) -> None:
    """Have it in ``folder``, whole: the folder gets its name when all of it is on the disk. Raises OSError."""
    place = folder / FOLDER
    if (place / KEY).exists():
        return
    new = folder / f"{FOLDER}.new"
    for old in (new, place):
        shutil.rmtree(old, ignore_errors=True)
    new.mkdir(mode=0o700)
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new / KEY)))
    for path in (*new.iterdir(), new):
        _sync(path)
    new.rename(place)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
