"""Seconds of audio heard for each key, counted in memory and written to a file now and then."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.accounts.disk import replace

log = logging.getLogger(__name__)

FILE = "usage.json"

Seconds = dict[str, Annotated[float, Meta(ge=0)]]


class UsageError(Exception):
    """A usage file that cannot be read; the message names it and says why."""


def recorded(folder: Path) -> Seconds:
    """Seconds by key id as last written; empty when nothing was. Raises ``UsageError``."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Seconds)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


class Usage:
    """The counts. ``save`` may be called from any thread, all else from one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._counting = threading.Lock()
        self._saving = threading.Lock()
        self._changed = False
        self._complained = False
        try:
            self._seconds = recorded(folder)
        except UsageError as error:
            log.error("%s; counting begins anew%s", error, self._move_aside())
            self._seconds = {}

    def used(self, id: str) -> float:
        """Seconds heard for this key."""
        return self._seconds.get(id, 0.0)

    def add(self, id: str, seconds: float) -> float:
        """More has been heard; the new sum."""
        with self._counting:
            total = self._seconds[id] = self.used(id) + seconds
            self._changed = True
        return total

    def save(self) -> None:
        """Write what has changed since it was last written. A failure is logged once and tried again the next time."""
        with self._saving:
            with self._counting:
                if not self._changed:
                    return
                seconds, self._changed = dict(self._seconds), False
            try:
                replace(self._path, msgspec.json.format(msgspec.json.encode(seconds)))
                self._complained = False
            except OSError as error:
                with self._counting:
                    self._changed = True
                if not self._complained:
                    log.error("%s cannot be written, counting goes on in memory: %s", self._path, error.strerror)
                self._complained = True

    def _move_aside(self) -> str:
        """Keeps the file for a person to look at; what was done, in words."""
        aside = self._path.with_name(f"{FILE}.damaged")
        try:
            os.replace(self._path, aside)
        except OSError:
            return ""
        return f", the file is kept as {aside.name}"
