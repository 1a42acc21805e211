"""Which device a configured name means, on recorded device lists."""

from __future__ import annotations

import pytest
from msgspec import structs

from appliance.capture.devices import Device
from appliance.capture.names import find

HDA = Device("HDA Intel PCH: ALC257 Analog (hw:0,0)", 44_100, 2, alsa="hw:CARD=PCH,DEV=0")
DIGITAL = Device("HDA Intel PCH: ALC257 Alt Analog (hw:0,2)", 44_100, 2, alsa="hw:CARD=PCH,DEV=2")
USB = Device("USB PnP Sound Device: Audio (hw:1,0)", 48_000, 1, alsa="hw:CARD=Device,DEV=0")
HAT = Device("seeed2micvoicec: bcm2835-i2s-wm8960 (hw:10,0)", 44_100, 2, alsa="hw:CARD=seeed2micvoicec,DEV=0")
DEFAULT = Device("default", 44_100, 32, default=True)
LIST = (HDA, DIGITAL, USB, HAT, Device("sysdefault", 48_000, 128), Device("pulse", 44_100, 32), DEFAULT)
HELD = Device("USB PnP Sound Device: USB Audio (hw:1,0)", 48_000, 1, busy=True, alsa="hw:CARD=Device,DEV=0")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (USB.name, USB),
        ("usb pnp", USB),
        ("default", DEFAULT),
        ("Default", DEFAULT),
        ("SYSDEF", LIST[4]),
        ("bluetooth", None),
        ("hw:1,0", USB),
        ("hw:1", USB),
        ("hw:10,0", HAT),
        ("hw:2,0", None),
        ("hw:1,1", None),
        ("hw:CARD=Device,DEV=0", USB),
        ("hw:CARD=Device", USB),
        ("plughw:CARD=Device,DEV=0", USB),
        ("plughw:Device,0", USB),
        ("sysdefault:CARD=Device", USB),
        ("front:CARD=PCH,DEV=0", HDA),
        ("dsnoop:CARD=PCH,DEV=2", DIGITAL),
        ("hw:CARD=PCH,DEV=1", None),
        ("hw:CARD=Dev,DEV=0", None),
        ("plughw:CARD=seeed2micvoicec,DEV=0", HAT),
        ("sysdefault", LIST[4]),
        ("pulse", LIST[5]),
    ],
)
def test_find_name_fits_device(wanted: str, found: Device | None) -> None:
    assert find(wanted, LIST) is found


@pytest.mark.parametrize("card", [HDA, DIGITAL, USB, HAT])
def test_find_printed_names_survive_another_number(card: Device) -> None:
    moved = [structs.replace(each, name=each.name.replace("hw:", "hw:3")) for each in LIST]
    assert find(card.name, moved) is moved[LIST.index(card)]
    assert find(card.alsa, moved) is moved[LIST.index(card)]


def test_find_same_card_twice_takes_the_number_first() -> None:
    second = Device(USB.name.replace("hw:1", "hw:2"), 48_000, 1, alsa="hw:CARD=Device_1,DEV=0")
    assert find(second.name, (USB, second)) is second
    assert find(second.alsa, (USB, second)) is second
    assert find(second.name, (USB,)) is USB


def test_find_other_card_of_that_number_is_another_card() -> None:
    assert find(USB.name, (Device("Webcam: USB Audio (hw:1,0)", 16_000, 1, alsa="hw:CARD=Webcam,DEV=0"),)) is None


def test_find_exact_name_wins_over_a_part() -> None:
    exact = Device("mic", 16_000, 1)
    assert find("mic", (Device("mic array", 16_000, 4), exact)) is exact


def test_find_default_is_the_hosts_where_alsa_has_none() -> None:
    other = Device("other", 16_000, 1, default=True)
    assert find("default", (USB, other)) is other
    assert find("default", (USB,)) is None


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        *((each, True) for each in ("usb pnp", "hw:1,0", "default", USB.name, HELD.name, HELD.alsa)),
        ("plughw:CARD=Device,DEV=0", True),
        ("USB PnP Sound Device: USB Audio (hw:4,0)", True),
        ("seeed", False),
        ("hw:CARD=seeed,DEV=0", False),
    ],
)
def test_find_held_device_is_found_as_busy(wanted: str, meant: bool) -> None:
    assert find(wanted, (HELD,)) is (HELD if meant else None)


def test_find_held_card_is_not_replaced_by_its_twin() -> None:
    """The configured card is in use; another one of the same name must not be opened in its place."""
    twin = Device("USB PnP Sound Device: USB Audio (hw:2,0)", 48_000, 1, alsa="hw:CARD=Device_1,DEV=0")
    assert find(HELD.name, (twin, HELD)) is HELD
    assert find("usb pnp", (HELD, twin)) is twin
