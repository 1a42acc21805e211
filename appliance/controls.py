"""What a person at the box can do: mute the microphones, switch it off. What was muted stays so after a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.accounts.disk import remove, replace
from appliance.capture.microphone import Microphone

log = logging.getLogger(__name__)

POWEROFF = "poweroff"
"""A file of this name in the service's runtime directory asks systemd to switch the machine off."""


class Controls:
    """``on_change`` is called when the microphones have been muted or not; ``note`` tells the owner (subject, text)."""

    def __init__(
        self,
        microphones: Sequence[Microphone],
        state_dir: Path,
        on_change: Callable[[], None],
        note: Callable[[str, str], None],
        stop: Callable[[], None],
    ) -> None:
        self.muted = False
        self._microphones = microphones
        self._file = state_dir / "muted"
        self._on_change = on_change
        self._note = note
        self._stop = stop
        self._writing = threading.Lock()
        self.kept: asyncio.Future[str] | None = None
        """Of the last change: done when it is on the disk, with the reason when it is not."""

    def restore(self) -> None:
        """As it was left. A file that cannot be looked at counts as muted: the cards stay closed when in doubt."""
        try:
            self._file.stat()
            muted = True
        except FileNotFoundError:
            muted = False
        except OSError as error:
            self._note("mute", f"whether the microphones were muted cannot be told, so they are: {error.strerror}")
            muted = True
        self._mute(muted)

    def toggle_mute(self) -> None:
        """All microphones off, or on again; at once, and on the disk as soon as that can be."""
        self._mute(not self.muted)
        self.kept = asyncio.ensure_future(asyncio.to_thread(self._keep))
        self.kept.add_done_callback(lambda kept: kept.cancelled() or self._note("mute", kept.result()))

    def power_off(self) -> None:
        """The machine, where systemd waits for it; else only the daemon."""
        log.warning("switching off: the button was held")
        runtime = os.environ.get("RUNTIME_DIRECTORY")
        if runtime:
            try:
                (Path(runtime.split(":")[0]) / POWEROFF).touch()
                return
            except OSError as error:
                log.error("the machine cannot be switched off: %s", error)
        self._stop()

    def retry(self) -> None:
        """Cards may have come: microphones that wait for one try now."""
        for microphone in self._microphones:
            microphone.retry()

    def _keep(self) -> str:
        """What holds now, down to the disk; why not, if so."""
        try:
            with self._writing:
                if self.muted:
                    replace(self._file, b"")
                else:
                    remove(self._file)
        except OSError as error:
            return f"after a restart the microphones will not be as they are now: {error.strerror}"
        return ""

    def _mute(self, muted: bool) -> None:
        self.muted = muted
        for microphone in self._microphones:
            microphone.mute = muted
        self._on_change()
