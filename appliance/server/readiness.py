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
    """The microphones, where the client may see them."""


def models(pool: Pool) -> Component:
    """Return the state of the models: ``ready`` (loaded and measured), ``measuring``, ``broken`` or ``loading``."""
    broken = "; ".join(pool.broken.values())
    if pool.ready:
        return Component(ready=True, required=True, state="ready", reason=broken)
    if pool.broken and not pool.models:
        return Component(ready=False, required=True, state="broken", reason=broken)
    state = "measuring" if pool.held and pool.models else "loading"
    return Component(ready=False, required=True, state=state, reason=(pool.held if pool.models else "") or state)


def microphones(known: Iterable[MicrophoneInfo], *, detailed: bool) -> Component:
    """Return the state of the microphones: ``none`` configured, all ``listening`` or muted, or some ``missing``.

    ``detailed``: name each microphone with its state, which also shows whether it is muted.
    """
    found = [Part(one.name, one.state, one.reason) for one in known]
    missing = [part for part in found if part.state not in LISTENING]
    state = "none" if not found else "missing" if missing else "listening"
    each = tuple(found) if detailed else UNSET
    reason = "; ".join(f"{part.name}: {part.state} ({part.reason})" for part in missing) if detailed else ""
    return Component(ready=not missing, required=False, state=state, reason=reason, each=each)


def tls(expires: float | None) -> Component:
    """Return the state of TLS: ``off``, ``serving``, or ``expired``. Not required: the plain port serves clients too.

    ``expires``: when the certificate does, in seconds since 1970; ``None`` without TLS.
    """
    if expires is None:
        return Component(ready=True, required=False, state="off")
    if expires <= time.time():
        reason = "the certificate has expired; see appliance doctor"
        return Component(ready=False, required=False, state="expired", reason=reason)
    return Component(ready=True, required=False, state="serving")


def overall(components: Mapping[str, Component], *, draining: bool) -> tuple[bool, str]:
    """Return whether every required component is ready, and the reason when not, else an empty text."""
    if draining:
        return False, "shutting down"
    missing = [component for component in components.values() if component.required and not component.ready]
    return not missing, "; ".join(component.reason for component in missing)
