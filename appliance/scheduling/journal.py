"""What a session's worker was given and might be needed again: all audio since the last point that is safe.

Pure. One journal per session, kept by the daemon; when the worker dies, the next one is given what is here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import structs

from appliance.core.segment import Origin
from appliance.scheduling.messages import Audio, Entry, Report


class Journal:
    """Entries in order. ``window`` is how many bytes of audio a worker may hold unread.

    ``received``, ``consumed`` and ``safe`` are bytes since the session began, ``received >= consumed >= safe``.
    """

    def __init__(self, sid: int, window: int) -> None:
        self.received = self.consumed = 0
        self.origin = Origin()
        self._sid = sid
        self.window = window
        self._seq = 0
        self._done = 0
        self._sent_bytes = 0
        self._sent: deque[tuple[int, Entry]] = deque()
        self._waiting: deque[tuple[int, Entry]] = deque()

    @property
    def seq(self) -> int:
        """The number for the next entry."""
        return self._seq + 1

    @property
    def safe(self) -> int:
        """Bytes that cannot matter any more."""
        return self.origin.wire

    @property
    def backlog(self) -> int:
        """Bytes of audio that no worker has dealt with yet."""
        return self.received - self.consumed

    @property
    def entries(self) -> int:
        """How many have not been dealt with."""
        return self._seq - self._done

    @property
    def outstanding(self) -> bool:
        """The worker has been given something it has not reported on."""
        return bool(self._sent) and self._sent[-1][1].seq > self._done

    def append(self, entry: Entry) -> None:
        """The next entry; its ``seq`` must be ``self.seq``. Audio is at most ``window`` bytes."""
        self._seq = entry.seq
        self._waiting.append((self.received, entry))
        if isinstance(entry, Audio):
            self.received += len(entry.data)

    def due(self) -> Iterator[Entry]:
        """What may go to the worker now; it counts as sent."""
        while self._waiting:
            start, entry = self._waiting[0]
            size = len(entry.data) if isinstance(entry, Audio) else 0
            if size and self._sent_bytes - self.consumed + size > self.window and self._sent_bytes > self.consumed:
                return
            self._sent.append(self._waiting.popleft())
            self._sent_bytes = start + size
            yield entry

    def report(self, report: Report) -> None:
        """The worker has come this far; what is safe is forgotten."""
        self._done = max(self._done, report.done)
        self.consumed = max(self.consumed, report.consumed)
        self.origin = max(self.origin, report.origin, key=lambda origin: (origin.wire, origin.segment))
        while self._sent and self._forgettable(*self._sent[0]):
            self._sent.popleft()

    def forget(self) -> None:
        """The session is over: what was kept of it is given back now, not when its last referrer goes."""
        self._sent.clear()
        self._waiting.clear()

    def rewind(self) -> Origin:
        """A new worker begins here: everything since the safe point waits again, but no command is obeyed twice."""
        again: deque[tuple[int, Entry]] = deque()
        for start, entry in (*self._sent, *self._waiting):
            if not isinstance(entry, Audio):
                if entry.seq > self._done:
                    again.append((start, entry))
            elif start + len(entry.data) > self.safe:
                cut = max(0, self.safe - start)
                rest = structs.replace(entry, data=entry.data[cut:], begins=False) if cut else entry
                again.append((start + cut, rest))
        self._sent.clear()
        self._waiting = again
        self.consumed = self._sent_bytes = self.safe
        return self.origin

    def _forgettable(self, start: int, entry: Entry) -> bool:
        if isinstance(entry, Audio):
            return start + len(entry.data) <= self.safe
        return entry.seq <= self._done
