"""The board: what it is, its heat and power, processor, memory, disk and clock."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence

from msgspec import structs

from appliance.board import detect, sensors
from appliance.doctor.box import Box
from appliance.doctor.findings import Finding, finding
from appliance.status import writable

WRITTEN = 1_767_225_600.0
"""2026-01-01: a clock before it has not been set since the board was started."""

HEAT = (
    "temperature_c", "throttled", "throttled_before", "under_voltage", "under_voltage_before",
    "frequency_mhz", "frequency_max_mhz",
)  # fmt: skip
PROCESSOR = ("load", "cpu_pressure")
MEMORY = ("memory_total_mb", "memory_available_mb", "memory_pressure")
WORDS: dict[str, str] = {
    "temperature_c": "{:.0f} °C",
    "frequency_mhz": "{:.0f} MHz now",
    "frequency_max_mhz": "{:.0f} MHz at most",
    "load": "{:.2f} tasks for each core",
    "cpu_pressure": "a processor is waited for {:.0f} % of the time",
    "memory_total_mb": "{:.0f} MiB",
    "memory_available_mb": "{:.0f} MiB available",
    "memory_pressure": "memory is waited for {:.0f} % of the time",
}
SINCE_START: dict[str, str] = {
    "throttled_before": "it was slowed down since it was started",
    "under_voltage_before": "the voltage was too low since it was started",
}
"""Worth a note when it is over."""


def board(box: Box) -> Finding:
    """Which board, and how much of it."""
    wanted = box.config.board.profile
    profile = detect.detect(box.root) if wanted == "auto" else detect.named(wanted, box.root)
    system = platform.uname()
    facts = (
        f"{profile.title} (profile {profile.name})",
        f"{profile.cores} cores, {profile.memory_mb} MiB, {system.machine}, Linux {system.release}",
    )
    return finding("board", facts)


def heat(box: Box) -> Finding:
    """Temperature, power, and what they cost."""
    return _sensed(box, "heat and power", HEAT, "cool it, or use a stronger power supply")


def processor(box: Box) -> Finding:
    """Whether it has time."""
    return _sensed(box, "processor", PROCESSOR, "see what else runs here: top")


def memory(box: Box) -> Finding:
    """Whether there is enough."""
    return _sensed(box, "memory", MEMORY, "use a smaller model (appliance models list), or stop other programs")


def disk(box: Box) -> Finding:
    """Room for what is kept, and whether it can be."""
    folder = box.config.state_dir
    try:
        found = folder.stat()
    except FileNotFoundError:
        return finding("disk", (), notes=[f"{folder} is not there yet; the first start makes it"])
    except PermissionError:
        return finding("disk", (), notes=[f"{folder} cannot be seen by this user"], advice="run this as root")
    free, total = (size >> 20 for size in (shutil.disk_usage(folder).free, shutil.disk_usage(folder).total))
    facts = [f"{folder}: {free} of {total} MiB free"]
    reason = writable(folder)
    own = os.geteuid() in (0, found.st_uid)
    if reason and own:
        return finding("disk", facts, bad=[reason], advice="keys, usage and certificates cannot be kept: make room")
    if reason:
        facts.append("whether the service can write to it cannot be told by this user")
    low = sensors.concerns(sensors.Readings(disk_free_mb=float(free)))
    return finding("disk", facts, bad=low, advice="remove models that are not used: appliance models list" * bool(low))


def clock(box: Box) -> Finding:
    """Certificates hold from a time to a time."""
    now = time.time()
    facts = [time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))]
    if now < WRITTEN:
        return finding(
            "clock", facts, bad=["it has not been set: certificates seem not to be valid yet"],
            advice="connect the box to a time server, or set it: timedatectl set-time",
        )  # fmt: skip
    synchronised = sensors.read(box.root).clock_synchronised
    if synchronised is False:
        return finding(
            "clock", facts, notes=["no time server sets it"],
            advice="without one it may drift or start wrong; certificates and expiring keys go by it",
        )  # fmt: skip
    facts.append("set by a time server" if synchronised else "whether a time server sets it cannot be told")
    return finding("clock", facts)


def _sensed(box: Box, title: str, fields: Sequence[str], advice: str) -> Finding:
    """Of the sensors' readings, those fields and what they are a concern for."""
    everything = structs.asdict(sensors.read(box.root))
    readings = sensors.Readings(**{field: everything[field] for field in fields})
    facts = [
        WORDS[field].format(everything[field]) for field in fields if field in WORDS and everything[field] is not None
    ]
    bad = sensors.concerns(readings, faults=True)
    notes = [concern for concern in sensors.concerns(readings) if concern not in bad]
    notes += [words for field, words in SINCE_START.items() if field in fields and everything[field]]
    if not facts and not bad and not notes:
        facts = ["this board does not tell"]
    return finding(title, facts, bad=bad, notes=notes, advice=advice if bad or notes else "")
