"""Readiness: whether the device takes streams, and the state of each component behind that.

Ready means that a client with a good key can open a stream now. Only components that are required for that count; the
others have a state. A missing microphone is a state, not an error: the device serves its clients without one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from msgspec import UNSET, Struct, UnsetType

from appliance.scheduling.pool import Pool
from appliance.server.feed import MicrophoneInfo

LISTENING = frozenset({"ready", "muted"})
"""States of a microphone that does what it is to do; muted on purpose is one of them."""


class Part(Struct, frozen=True):
    """One microphone of several."""

    name: str
    state: str
    reason: str


class Component(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One component. ``required``: the device is not ready without it. ``state`` is one word, ``reason`` a sentence."""

    ready: bool
    required: bool
    state: str
    reason: str = ""
    each: tuple[Part, ...] | UnsetType = UNSET
    """The microphones, for those who may know."""


def models(pool: Pool) -> Component:
    """Models loaded, workers warm, cost measured: ``ready``, ``measuring``, ``broken`` or ``loading``."""
    broken = "; ".join(pool.broken.values())
    if pool.ready:
        return Component(ready=True, required=True, state="ready", reason=broken)
    if pool.broken and not pool.models:
        return Component(ready=False, required=True, state="broken", reason=broken)
    state = "measuring" if pool.held and pool.models else "loading"
    return Component(ready=False, required=True, state=state, reason=(pool.held if pool.models else "") or state)


def microphones(known: Iterable[MicrophoneInfo], *, detailed: bool) -> Component:
    """``none`` configured, all ``listening`` (or muted on purpose), or some ``missing``.

    ``detailed``: name each with its state, which says whether somebody has muted it.
    """
    found = [Part(one.name, one.state, one.reason) for one in known]
    missing = [part for part in found if part.state not in LISTENING]
    state = "none" if not found else "missing" if missing else "listening"
    each = tuple(found) if detailed else UNSET
    reason = "; ".join(f"{part.name}: {part.state} ({part.reason})" for part in missing) if detailed else ""
    return Component(ready=not missing, required=False, state=state, reason=reason, each=each)


def tls(expires: float | None) -> Component:
    """``off``, ``serving``, or ``expired`` when the certificate is (``expires``: seconds since 1970, without TLS none).

    Not required: clients without TLS are served.
    """
    if expires is None:
        return Component(ready=True, required=False, state="off")
    if expires <= time.time():
        reason = "the certificate has expired; see appliance doctor"
        return Component(ready=False, required=False, state="expired", reason=reason)
    return Component(ready=True, required=False, state="serving")


def overall(components: Mapping[str, Component], *, draining: bool) -> tuple[bool, str]:
    """Whether all that is required is ready, and why not; empty when it is."""
    if draining:
        return False, "shutting down"
    missing = [component for component in components.values() if component.required and not component.ready]
    return not missing, "; ".join(component.reason for component in missing)
