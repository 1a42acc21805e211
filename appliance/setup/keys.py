"""The API keys of the card: those of ``key`` and ``microphone-key`` lines, and the first key, which the device makes.

Their names in the accounts say where they are from, so that nothing else has to be kept of which they are, and no other
key is ever touched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from appliance.accounts.disk import replace
from appliance.accounts.keys import NAME_MAX as LONGEST
from appliance.accounts.keys import PREFIX, RANDOM, Keys, KeysError
from appliance.setup.card import Card
from appliance.setup.text import decode
from appliance.setup.values import OwnKey

LINE = "appliance.txt: "
"""Before the name of a key that a line gave."""
NAME_MAX = LONGEST - len(LINE)
FILE = "appliance-key.txt"
"""On the card, and the name of the key that is in it."""
MARK = "first-key"
"""In the data folder, when the first key has been made."""


def reserved(name: str) -> bool:
    """A name that only keys of the card may have."""
    return name == FILE or name.startswith(LINE)


def follow(keys: Keys, wanted: Iterable[OwnKey], now: float) -> None:
    """Have the keys of the lines, and no other key that was one's. Raises KeysError.

    One whose line has got another name stays the same key. One that `appliance keys` has made is left as it is.
    The right to listen to microphones follows the line.
    """
    kept = set()
    for own in wanted:
        name, known = LINE + own.name, keys.find(own.secret)
        if known is None:
            known, _ = keys.create(name, now=now, own=own.secret, microphones=own.microphones)
        elif known.name.startswith(LINE) and (known.name, known.microphones) != (name, own.microphones):
            keys.change(known.id, name=name, microphones=own.microphones)
        kept.add(known.id)
    for key in keys.all():
        if key.name.startswith(LINE) and key.id not in kept:
            keys.revoke(key.id)


class FirstKey:
    """The key of a box whose owner has given none, made once.

    The power may fail between any two steps: the text is on the card first, then good, then marked as done. A start
    that finds no mark begins again with what is on the card.
    """

    def __init__(self, card: Card, keys: Keys, folder: Path) -> None:
        self._card = card
        self._keys = keys
        self._mark = folder / MARK

    def make(self, host: str, port: int) -> None:
        """Have it, unless it was made before. Raises OSError and KeysError, and then leaves no text on the card."""
        if self._mark.exists():
            return
        text = self._text() or PREFIX + _random()
        try:
            self._card.write(FILE, page(text, host, port))
            for key in self._keys.all():  # of a start that got as far as here; its text has gone since
                if key.name == FILE and key != self._keys.find(text):
                    self._keys.revoke(key.id)
            if self._keys.find(text) is None:
                # The operator's own key: the quick start opens /kiosk with it, and no other way needs less than ssh.
                self._keys.create(FILE, now=time.time(), own=text, microphones=True)
        except (OSError, KeysError):
            with suppress(OSError):
                self._card.remove(FILE)
            raise
        replace(self._mark, b"")

    def shown(self, host: str, port: int) -> str | None:
        """The key that is on the card, with the box's address as it is now. One that is good no more is taken away."""
        text = self._text()
        if text is None or self._keys.find(text) is None:
            self._card.remove(FILE)
            return None
        self._card.write(FILE, page(text, host, port))
        return text

    def _text(self) -> str | None:
        found = re.search(PREFIX + "[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])", decode(self._card.read(FILE) or b""))
        return found[0] if found else None


def page(text: str, host: str, port: int) -> str:
    """What is on the card of a key."""
    return (
        f"The API key of the speech appliance {host}:\n"
        "\n"
        f"    {text}\n"
        "\n"
        f"Give it to your application as its API key, with http://{host}.local:{port} as the address of the service.\n"
        "Whoever has it can use the device and listen to its microphones.\n"
        "Keep it elsewhere and delete this file; no other key will be made.\n"
    )


def _random() -> str:
    import secrets

    return secrets.token_urlsafe(RANDOM)
