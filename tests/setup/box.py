"""A box on a temporary folder: its card, its data, and what was run on it."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from appliance.accounts.keys import Keys
from appliance.setup.apply import Outcome, Places, apply

SOURCE = Path(__file__).parents[2]
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHY0f0b3mSg5rOSmVdX5lq4jJ3cC0pQ1w0cZk5o2m1aA you@laptop"


class TestBox:
    """``ROOT/boot/firmware`` and ``ROOT/data`` below one folder, as the image has them."""

    __test__ = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.card = root / "boot" / "firmware"
        self.data = root / "data"
        self.ran: list[tuple[str, ...]] = []
        self.card.mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc" / "hostname").write_text("appliance\n")
        (root / "usr" / "share" / "appliance").mkdir(parents=True)
        shutil.copy(SOURCE / "systemd" / "appliance.toml", root / "usr" / "share" / "appliance")
        (root / "usr" / "share" / "zoneinfo" / "Europe").mkdir(parents=True)
        (root / "usr" / "share" / "zoneinfo" / "Europe" / "Berlin").write_bytes(b"TZif2")
        self.write("")

    def write(self, text: str, name: str = "appliance.txt") -> None:
        (self.card / name).write_text(text)

    def start(self) -> Outcome:
        return apply(Places(self.root, self.card, self.data), self.run)

    def run(self, command: tuple[str, ...]) -> None:
        """Like the real one, as far as files are concerned."""
        self.ran.append(command)
        if command[0] == "ssh-keygen":
            key = Path(command[-1])
            key.write_text("private")
            key.with_name(f"{key.name}.pub").write_text("public")

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def on_card(self, name: str) -> str | None:
        path = self.card / name
        return path.read_bytes().decode() if path.exists() else None

    @property
    def keys(self) -> Keys:
        return Keys(self.root / "var/lib/private/appliance/accounts")

    @property
    def names(self) -> list[str]:
        return [key.name for key in self.keys.all()]

    @property
    def config(self) -> dict[str, object]:
        return tomllib.loads(self.text("/etc/appliance/appliance.toml"))
