"""Updates of what is installed in a root, and of what somebody has broken in it, made by the recipe."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.boot.root import CHECKOUT
from tests.update.box import Signer

BUILT = 1_000_000_000
SHIPPED = {"version": "1.0", "built": BUILT, "arch": "amd64", "pythons": ["3.13"]}
"""What the container is told that it was installed with."""
BROKEN = {
    "dead": {"appliance/daemon.py": "raise ImportError('a library is missing')\n"},
    "hanging": {"appliance/daemon.py": "import time\ntime.sleep(3600)\n"},
    "deaf": {"appliance/engines/vosk.py": ('item["word"],', '"start",')},
    "stranded": {"appliance/cli/update.py": "raise ImportError('a library is missing')\n"},
}
"""Programs that must not be kept: what to write into which of their files, or what to replace there."""


class Workshop:
    """Makes bundles of the program in ``root``, in ``folder``; the same one is made once."""

    def __init__(self, root: Path, folder: Path, signer: Signer) -> None:
        self._root = root
        self.folder = folder
        self.signer = signer

    def make(self, version: str, years: int, broken: str = "", signer: Signer | None = None) -> str:
        """A file's name in ``folder``: this version, so many years younger than what is shipped."""
        name = f"{version}{broken}.appliance-update"
        if not (self.folder / name).exists():
            self._make(version, years, BROKEN.get(broken, {}), self.folder / name, signer or self.signer)
        return name

    def _make(self, version: str, years: int, changes: Mapping[str, object], out: Path, signer: Signer) -> None:
        tree = self.folder / "root" / "usr" / "lib" / "appliance"
        subprocess.run(["rm", "-rf", tree], check=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-al", self._root / "usr" / "lib" / "appliance", tree], check=True)
        release = SHIPPED | {"version": version, "built": BUILT + years * 31_536_000}
        _write(tree / "release.json", json.dumps(release))
        for name, change in changes.items():
            before = (tree / name).read_text()
            after = before.replace(*change) if isinstance(change, tuple) else str(change)
            assert after != before, f"{name} is not broken"
            _write(tree / name, after)
        command = [CHECKOUT / "image" / "bundle", self.folder / "root", out, "--key", signer.key]
        subprocess.run(command, check=True, env={**os.environ, "LEVEL": "0"})


def _write(path: Path, text: str) -> None:
    """A new file: the old one is also the installed root's."""
    path.unlink(missing_ok=True)
    path.write_text(text)
