"""What a person at the box can do: mute the microphones, switch it off. What was muted stays so after a restart."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.capture.microphone import Microphone

log = logging.getLogger(__name__)

POWEROFF = "poweroff"
"""A file of this name in the service's runtime directory asks systemd to switch the machine off."""


class Controls:
    """``on_change`` is called when the microphones have been muted or not; ``stop`` ends the daemon."""

    def __init__(
        self,
        microphones: Sequence[Microphone],
        state_dir: Path,
        on_change: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self.muted = False
        self._microphones = microphones
        self._file = state_dir / "muted"
        self._on_change = on_change
        self._stop = stop

    def restore(self) -> None:
        """As it was left. A file that cannot be looked at counts as muted: the cards stay closed when in doubt."""
        try:
            self._file.stat()
            muted = True
        except FileNotFoundError:
            muted = False
        except OSError as error:
            log.warning("whether the microphones were muted cannot be told: %s; they are now", error)
            muted = True
        self._mute(muted)

    def toggle_mute(self) -> None:
        """All microphones off, or on again."""
        self._mute(not self.muted)
        try:
            if self.muted:
                self._file.touch(mode=0o600)
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            log.error("after a restart the microphones will not be as they are now: %s", error)

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

    def _mute(self, muted: bool) -> None:
        self.muted = muted
        for microphone in self._microphones:
            microphone.mute = muted
        self._on_change()
