"""The microphones: there, free, loud enough, and nothing lost."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from typing import Any

from appliance.capture import devices, names
from appliance.capture.devices import CaptureError, Device
from appliance.capture.microphone import Guard
from appliance.config import MicrophoneConfig
from appliance.doctor import holders
from appliance.doctor.box import Box, Listened
from appliance.doctor.door import Shut, opened
from appliance.doctor.findings import Finding, Verdict, finding, worst
from appliance.doctor.listen import judge, listen

GLANCE_S = 1.0
"""Of listening, for the level; more is the listen test."""
GLANCED = ("level", "clipping", "overruns")
LAMP, UNLIT = "microphone lamp", "unlit"
"""In the reason for which a card stays closed, and what we call that state."""
WRONG = ("absent", "busy", "lost", UNLIT)
ADVICE = {
    "absent": "plug it in, or name another one in the configuration: appliance devices",
    "busy": "end the program that holds it, or name another microphone",
    "lost": "look at its cable and at dmesg",
    UNLIT: "see hardware/README.md: the line and the wiring",
}


def microphones(box: Box) -> Finding:
    """Each configured one: found, and whose."""
    if box.running and box.microphones is None:
        return finding("microphones", [], notes=["the daemon tells of them on its own machine only"])
    states = _found(box) if box.microphones is None else _told(box, box.microphones)
    facts = [*(row for _, _, row in states), *(_closed(box) if box.microphones is None else [])]
    if not states:
        return finding("microphones", ["none is configured: the box serves clients only"])
    wrong = [state for _, state, _ in states if state in WRONG]
    asked = "microphones" in _own(box)
    if wrong and (asked or wrong != ["absent"]):
        return Finding(
            title="microphones", facts=(*facts, *_holding(box)), verdict=Verdict.BAD, advice=ADVICE[wrong[0]]
        )
    if wrong:
        return finding(
            "microphones", [], notes=[*facts, "without one the box serves clients only"], advice=ADVICE["absent"]
        )
    muted = any(state == "muted" for _, state, _ in states)
    return finding("microphones", facts, notes=["muted: the card is closed on purpose"] if muted else [])


def level(box: Box) -> Finding:
    """A glance at the level of each free one; the daemon's own is left to it."""
    if box.running:
        return finding("level", ["the daemon has the microphones; what it hears: appliance doctor --listen"])
    try:
        with opened(box.config) as guard:
            return _glance(box.config.microphones, guard)
    except Shut as error:
        return finding("level", [], notes=[str(error)], advice=error.advice)


def overruns(box: Box) -> Finding:
    """Audio that was lost since the daemon was started."""
    if box.microphones is None:
        return finding("overruns", ["counted by the running daemon only"])
    lost = {each.name: each.overruns for each in box.microphones if each.overruns is not None}
    facts = [f"{name}: audio was lost {count:.0f} times" for name, count in lost.items()]
    notes = ["the machine was too busy to fetch it in time"] if any(lost.values()) else []
    none = "not told by the daemon" if box.microphones else "no microphone"
    return finding("overruns", facts or [none], notes=notes, advice="see what else runs here: top" * bool(notes))


def _glance(microphones: Sequence[MicrophoneConfig], guard: Guard) -> Finding:
    seen: list[str] = []
    judged: list[Finding] = []
    for microphone in microphones:
        try:
            found = [each for each in judge(listen(microphone, GLANCE_S, guard=guard)) if each.title in GLANCED]
        except CaptureError as error:
            seen.append(f"{microphone.name}: {error}")
            continue
        judged += found
        seen += [f"{microphone.name}: {each.title}: {fact}" for each in found for fact in each.facts]
    advice = "; ".join(found.advice for found in judged if found.advice)
    verdict = worst(judged) if judged or not seen else Verdict.NOTE
    return Finding(title="level", facts=tuple(seen) or ("no microphone",), verdict=verdict, advice=advice)


def _told(box: Box, listened: list[Listened]) -> list[tuple[str, str, str]]:
    """(name, state, in words) of each microphone of the running daemon."""
    cards = {each.name: each.device for each in box.config.microphones}
    return [
        (
            each.name,
            UNLIT if LAMP in each.reason else each.state,
            f"{each.name} ({cards.get(each.name, '?')}): {each.state} ({each.reason})",
        )
        for each in listened
    ]


def _own(box: Box) -> dict[str, Any]:
    """What the owner's file says."""
    return tomllib.loads(box.file.read_text()) if box.file is not None and not box.config_problem else {}


def _found(box: Box) -> list[tuple[str, str, str]]:
    """(name, state, in words) of each configured one, by asking the sound system."""
    cards = devices.list_devices()
    return [(each.name, *_state(each, cards)) for each in box.config.microphones]


def _state(microphone: MicrophoneConfig, cards: list[Device]) -> tuple[str, str]:
    card = names.find(microphone.device, cards)
    if card is not None and card.busy:
        return "busy", f"{microphone.name} ({microphone.device}): {card.name} is used by another program"
    if card is not None:
        return "free", f"{microphone.name} ({microphone.device}): {card.name}, {card.rate} Hz, {card.channels} channels"
    others = ", ".join(card.name for card in cards) or "none"
    return "absent", f"{microphone.name} ({microphone.device}): not there; there are: {others}"


def _closed(box: Box) -> list[str]:
    """Whether there are cards that this user may not open."""
    cards = list((box.root / "dev/snd").glob("pcmC*c"))
    barred = cards and not any(os.access(card, os.R_OK) for card in cards)
    return ["this user may not open the sound cards: run this as root, or join the group audio"] if barred else []


def _holding(box: Box) -> list[str]:
    return [f"held by {command} (process {pid})" for pid, command in holders.recording(box.root).items()]
