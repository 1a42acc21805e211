"""The processes that templates have forked, for as long as they live."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator

log = logging.getLogger(__name__)


class Children:
    """Held by descriptors (pidfds): these tell their end when their parent is dead, too, and never mean another one."""

    def __init__(self) -> None:
        self._descriptors: dict[int, int] = {}
        self._none = asyncio.Event()

    def __contains__(self, pid: int) -> bool:
        return pid in self._descriptors

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._descriptors))

    def add(self, pid: int) -> None:
        """It has just been forked."""
        self._forget(pid)  # its number has been used again
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError as error:
            log.warning("process %d cannot be looked after: %s", pid, error.strerror)
            return
        self._descriptors[pid] = descriptor
        self._none.clear()
        asyncio.get_running_loop().add_reader(descriptor, self._forget, pid)

    def kill(self, pid: int) -> None:
        """If it is still there."""
        if pid in self._descriptors:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptors[pid], signal.SIGKILL)

    async def ended(self, patience_s: float) -> None:
        """Returns when none is left, or after so many seconds."""
        if self._descriptors:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none.wait(), patience_s)

    def close(self) -> None:
        """Look after them no longer."""
        for pid in self:
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        descriptor = self._descriptors.pop(pid, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        if not self._descriptors:
            self._none.set()
