"""Whom sessions and seconds are counted for."""

from __future__ import annotations

from msgspec import Struct


class Account(Struct, frozen=True):
    """One key's owner. An anonymous one has no key here, and so no limits; its ``id`` is a hash, its name empty."""

    id: str
    name: str
    anonymous: bool = False
    admin: bool = False
    microphones: bool = False
    """It may listen to the device's microphones."""
