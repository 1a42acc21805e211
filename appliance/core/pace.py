"""How a client keeps time: too fast, idle, too long. Arithmetic only; the clock is passed in, in seconds."""

from __future__ import annotations

from appliance.core.options import Limits
from appliance.core.problems import Kind

SLACK_S = 2.0
"""How far ahead of real time a client may be before it counts as fast: bursts of ordinary senders are shorter."""

CREDIT_S = 120.0
"""Of falling behind that a client may make up for: as long as a session may be without its socket."""


class Pace:
    """One client's meter. ``check`` may be asked at any time and says what is wrong, if anything."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._started = self._last_audio = self._counted = now
        self._ahead = self._lead = 0.0
        self._fast_since: float | None = None
        self._flushed = True

    def audio(self, seconds: float, now: float) -> bool:
        """Audio of this length has arrived. True when that makes something due earlier than ``wait`` last said."""
        before, lead = self._ahead_at(now), self._lead_at(now)
        self._ahead = max(0.0, before) + seconds
        self._lead = max(-CREDIT_S, lead) + seconds
        self._counted = self._last_audio = now
        first, self._flushed = self._flushed, False
        if lead <= SLACK_S:
            self._fast_since = now if self._lead > SLACK_S else None
        return first and self._limits.flush_s is not None

    def alive(self, now: float) -> None:
        """Something other than audio has arrived that counts against idleness."""
        self._last_audio = now

    def ahead(self, now: float) -> bool:
        """The client has sent more than real time allows, so it can be made to wait."""
        return self._ahead_at(now) > SLACK_S

    def flush_due(self, now: float) -> bool:
        """Audio has stopped for ``flush_s``; true once per stop."""
        due = not self._flushed and self._limits.flush_s is not None and now - self._last_audio >= self._limits.flush_s
        self._flushed = self._flushed or due
        return due

    def check(self, now: float) -> Kind | None:
        """The limit that is exceeded, if any."""
        limits = self._limits
        if limits.longest_s is not None and now - self._started >= limits.longest_s:
            return Kind.TOO_LONG
        if limits.idle_s is not None and now - self._last_audio >= limits.idle_s:
            return Kind.IDLE
        fast = self._fast_since is not None and self._lead_at(now) > SLACK_S
        if limits.fast_s is not None and fast and now - (self._fast_since or 0.0) >= limits.fast_s:
            return Kind.TOO_FAST
        return None

    def _ahead_at(self, now: float) -> float:
        """Seconds of audio ahead of real time; negative for a client that has fallen behind since its last message."""
        return self._ahead - (now - self._counted)

    def _lead_at(self, now: float) -> float:
        """The same, but what a stalled network kept back may be made up for without counting as fast."""
        return self._lead - (now - self._counted)

    def wait(self, now: float) -> float | None:
        """Seconds until something may become due without any further message; ``None`` for never."""
        limits = self._limits
        due = []
        if limits.longest_s is not None:
            due.append(self._started + limits.longest_s)
        if limits.idle_s is not None:
            due.append(self._last_audio + limits.idle_s)
        if limits.flush_s is not None and not self._flushed:
            due.append(self._last_audio + limits.flush_s)
        return max(0.0, min(due) - now) if due else None
