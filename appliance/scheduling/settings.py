"""Bounds of the pool, as the configuration gives them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the pool. Zero means: as many as the cores say."""

    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    streams: Annotated[int, Meta(ge=0)] = 0
    headroom: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of the cores that may be promised to streams; the rest is for what comes in between."""
    partial_share: Annotated[float, Meta(ge=0.05, le=1)] = 0.35
    """Share of a core that a worker spends on partials, with engines that decode the utterance again for each."""
    calibrate: bool = True
    """Measure at first start what a stream of each model costs on this machine."""
    window_s: Annotated[float, Meta(ge=0.1, le=30)] = 2.0
    """Audio of one session a worker may hold unread."""
    inbox_s: Annotated[float, Meta(ge=0.5, le=3600)] = 60.0
    """Audio of one session that waits before its client is made to wait."""
    hang_s: Annotated[float, Meta(ge=0.1, le=3600)] = 60.0
    """Without a sign of progress on what it was given, after which a worker is killed."""
    recycle_after: Annotated[int, Meta(ge=1)] = 200
    """Sessions, after which an idle worker is replaced, so that leaks of native code do not add up."""
