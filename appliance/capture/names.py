"""Names of microphones: which device a configured name means. Pure.

A configured name can be what ``appliance devices`` prints (PortAudio's name), a part of it, or a name of ``arecord -L``
(ALSA's). Card numbers change when devices are plugged in another order or at another time, so a name that contains one
still means the card when its number has changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from appliance.capture.devices import DEFAULT, NUMBERS, Device

ALSA = re.compile(
    r"(?:hw|plughw|sysdefault|default|front|dsnoop|usbstream):(?:CARD=)?(?P<card>[\w-]+)(?:,(?:DEV=)?(?P<device>\d+))?"
)
"""A name of ``arecord -L``, or its short form as in ``hw:2,0``. The card is an id or a number; no device: the first."""


def find(wanted: str, devices: Iterable[Device]) -> Device | None:
    """Return the device that a configured name means, ``None`` when it is not there. It may be busy.

    Of several devices that the name fits equally well the first free one counts, else the first.
    """
    fitting = [(_rank(wanted, device), device.busy, index, device) for index, device in enumerate(devices)]
    best = min((row for row in fitting if row[0] < len(RULES)), key=lambda row: row[:3], default=None)
    return best[3] if best is not None else None


def _rank(wanted: str, device: Device) -> int:
    """Return the place of the first rule by which the name fits; ``len(RULES)`` when there is none."""
    return next((place for place, rule in enumerate(RULES) if rule(wanted, device)), len(RULES))


def _same(wanted: str, device: Device) -> bool:
    return wanted == device.name


def _addressed(wanted: str, device: Device) -> bool:
    """ALSA's name of the card and its device number."""
    asked, card, numbers = ALSA.fullmatch(wanted), ALSA.fullmatch(device.alsa), NUMBERS.search(device.name)
    if asked is None or (numbers is None and card is None):
        return False
    ids = {found for found in (card and card["card"], numbers and numbers[1]) if found}
    place = card["device"] if card else numbers and numbers[2]
    return asked["card"] in ids and (asked["device"] or place) == place


def _renumbered(wanted: str, device: Device) -> bool:
    """PortAudio's name of a card that has another number now."""
    asked, is_now = NUMBERS.search(wanted), NUMBERS.search(device.name)
    if asked is None or is_now is None or asked[2] != is_now[2]:
        return False
    return wanted[: asked.start()] == device.name[: is_now.start()]


def _default(wanted: str, device: Device) -> bool:
    """The default device has another name where ALSA has none called ``default``."""
    return wanted == DEFAULT and device.default


def _alike(wanted: str, device: Device) -> bool:
    return wanted.casefold() == device.name.casefold()


def _part(wanted: str, device: Device) -> bool:
    """A part of PortAudio's name. ALSA's names are addresses: ``hw:1`` is not a part of ``hw:10,0``."""
    if wanted == DEFAULT or ALSA.fullmatch(wanted):
        return False
    return wanted.casefold() in device.name.casefold()


def _held(wanted: str, device: Device) -> bool:
    """PortAudio may call a held device by another name, and cannot tell whether that is the default one."""
    if not device.busy or ALSA.fullmatch(wanted):
        return False
    return wanted == DEFAULT or device.name.partition(":")[0].casefold() in wanted.casefold()


RULES: tuple[Callable[[str, Device], bool], ...] = (_same, _addressed, _renumbered, _default, _alike, _part, _held)
"""How a name can fit a device, the most precise rule first."""
