"""Bounds of the pool, as the configuration gives them."""

from __future__ import annotations

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the pool. Zero means: as many as the cores say."""

    workers: int = 0
    streams: int = 0
    window_s: float = 2.0
    """Audio of one session a worker may hold unread."""
    inbox_s: float = 60.0
    """Audio of one session that waits before its client is made to wait."""
    hang_s: float = 60.0
    """Without a sign of progress on what it was given, after which a worker is killed."""
    recycle_after: int = 200
    """Sessions, after which an idle worker is replaced, so that leaks of native code do not add up."""
