"""What the board tells of its own state: heat, power, clock rate, memory. Files only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

MIB = 1 << 20

FIRMWARE = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
"""Raspberry Pi, its own kernels only: a hexadecimal word, low half now, high half since the start (linux PR 2397)."""
UNDER_VOLTAGE, SLOWED = 1 << 0, 1 << 1 | 1 << 2 | 1 << 3
"""Its bits: too little voltage; clock rate capped, throttled, soft limit of temperature reached."""
SINCE_START = 16
"""How far its bits of history are shifted. The ``rpi_volt`` driver clears them every 2 s where it is loaded."""

CPU_ZONE = re.compile(r"(cpu|[bm]cpu|soc|tj|package|(big|little)core|x86_pkg_temp)", re.IGNORECASE)
"""Thermal zones of processors: Pi ``cpu-thermal``, Jetson ``CPU-therm``, ``tj-thermal``; not its fictional PMIC-Die."""
CPU_SENSOR = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Names in hwmon of the same, for where there is no such zone."""
CPU_BRAKE = re.compile(r"(thermal-)?cpufreq-|Processor$|(cpu|soc\d*|tj)-throttle-alert$")
"""Cooling devices that cool by making the processor slower; Jetsons have an alert that only tells of it."""
SANE_C = (-40.0, 150.0)
"""Sensors that are switched off read outside."""


class Readings(Struct, frozen=True, kw_only=True):
    """``None`` where this board does not tell. ``..._before`` is any time since the board was started."""

    temperature_c: float | None = None
    """Of the hottest part of the processor."""
    throttled: bool | None = None
    """The processor is made slower, for heat or for want of power."""
    throttled_before: bool | None = None
    under_voltage: bool | None = None
    under_voltage_before: bool | None = None
    frequency_mhz: float | None = None
    """Of the fastest core; what is asked for, where the firmware does not say what is had."""
    frequency_max_mhz: float | None = None
    memory_total_mb: float | None = None
    """MiB, as all sizes here; what the service may have where that is less than the board has."""
    memory_available_mb: float | None = None
    memory_pressure: float | None = None
    """Percent of the last 10 s in which something waited for memory; 0 to 100."""
    cpu_pressure: float | None = None
    """Percent of the last 10 s in which something waited for a processor; 0 to 100."""
    load: float | None = None
    """Tasks that ran or waited in the last minute, for each core."""
    disk_free_mb: float | None = None
    clock_synchronised: bool | None = None


CONCERNS: tuple[tuple[str, str, float, bool, str], ...] = (
    ("under_voltage", ">=", 1, True, "under-voltage: use a stronger power supply (5 V 3 A; 5 A for a Raspberry Pi 5)"),
    ("temperature_c", ">=", 80, True, "hot: {temperature_c:.0f} °C"),  # from here a Pi slows down
    ("throttled", ">=", 1, True, "throttled: the processor is made slower, for heat or for want of power"),
    ("memory_available_mb", "<", 48, True, "memory is short: {memory_available_mb:.0f} MiB left"),  # two workers' own
    ("disk_free_mb", "<", 100, True, "the disk is nearly full: {disk_free_mb:.0f} MiB left"),
    ("memory_pressure", ">=", 10, False, "memory is short: it is waited for {memory_pressure:.0f} % of the time"),
    ("cpu_pressure", ">=", 80, False, "overloaded: a processor is waited for {cpu_pressure:.0f} % of the time"),
    ("load", ">=", 2, False, "overloaded: {load:.1f} tasks for each core"),
    ("clock_synchronised", "<", 1, False, "the clock is set by no time server: certificates may seem expired"),
)  # fmt: skip
"""Field, comparison, limit, whether it is a fault of the board, and what is said when it holds."""


def concerns(readings: Readings, *, faults: bool = False) -> tuple[str, ...]:
    """What is wrong now, one sentence each, the gravest first; empty when all is well. Pure.

    What stands before a sentence's colon does not change with the figures. With ``faults`` only what somebody must
    see to, not what passes by itself or does no harm.
    """
    values = asdict(readings)
    return tuple(
        sentence.format(**values)
        for field, comparison, limit, fault, sentence in CONCERNS
        if values[field] is not None
        and (fault or not faults)
        and (values[field] < limit if comparison == "<" else values[field] >= limit)
    )


def read(root: Path = Path("/"), state: Path | None = None) -> Readings:
    """The readings now; ``disk_free_mb`` is that of the file system of ``state``. Never raises.

    Takes some ms, so not in an event loop. With another ``root`` than ``/`` only files below it are read.
    """
    pi = _hexadecimal(root)
    brakes = [device for device in _glob(root, "sys/class/thermal/cooling_device*") if _is(CPU_BRAKE, device / "type")]
    overcurrent = list(_glob(root, "sys/class/hwmon/hwmon*/oc[0-9]_event_cnt"))  # Jetson; the first is under-voltage
    slowed = [*overcurrent, *_glob(root, "sys/devices/system/cpu/cpu0/thermal_throttle/*_throttle_count")]
    policies = list(_glob(root, "sys/devices/system/cpu/cpufreq/policy*"))
    groups = _groups(root)
    total, available = _memory(root, groups)
    return Readings(
        temperature_c=max(_temperatures(root), default=None),
        throttled=_any(_bit(pi, SLOWED), *(_over(device / "cur_state") for device in brakes)),
        throttled_before=_any(_bit(pi, SLOWED << SINCE_START), *map(_over, slowed)),
        under_voltage=_any(_bit(pi, UNDER_VOLTAGE), *map(_over, _named(root, ("rpi_volt",), "in0_lcrit_alarm"))),
        under_voltage_before=_any(
            _bit(pi, UNDER_VOLTAGE << SINCE_START),
            *(_over(path) for path in overcurrent if path.name.startswith("oc1")),
        ),
        frequency_mhz=_most(policy / "scaling_cur_freq" for policy in policies),
        frequency_max_mhz=_most(policy / "cpuinfo_max_freq" for policy in policies),
        memory_total_mb=total,
        memory_available_mb=available,
        memory_pressure=_pressure(root, groups, "memory"),
        cpu_pressure=_pressure(root, groups, "cpu"),
        load=_load(root),
        disk_free_mb=_free(state),
        clock_synchronised=_synchronised(root),
    )


def memory_available(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory left to this process, of the machine or of its narrowest group; ``None`` if unknown.

    Takes less than a millisecond, for some files in /proc and /sys.
    """
    mib = _memory(root, _groups(root))[1]
    return None if mib is None else int(mib * MIB)


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    """What there is; ends early when a device goes away meanwhile."""
    with contextlib.suppress(OSError):
        yield from folder.glob(pattern)


def _text(path: Path) -> str:
    """Empty when it cannot be read, which a sensor without power answers too."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _over(path: Path) -> bool | None:
    """Whether it counts anything."""
    number = _number(path)
    return None if number is None else number > 0


def _any(*said: bool | None) -> bool | None:
    told = [one for one in said if one is not None]
    return any(told) if told else None


def _is(names: re.Pattern[str], path: Path) -> bool:
    return bool(names.match(_text(path)))


def _named(root: Path, names: tuple[str, ...], pattern: str) -> Iterator[Path]:
    """Files of the hwmon devices of these names; their numbers mean nothing."""
    for device in _glob(root, "sys/class/hwmon/hwmon*"):
        if _text(device / "name") in names:
            yield from _glob(device, pattern)


def _hexadecimal(root: Path) -> int | None:
    for path in _glob(root, FIRMWARE):
        try:
            return int(_text(path), 16)
        except ValueError:
            continue
    return None


def _bit(word: int | None, bits: int) -> bool | None:
    return None if word is None else bool(word & bits)


def _temperatures(root: Path) -> list[float]:
    """Of all that is processor, in °C."""
    zones = [zone / "temp" for zone in _glob(root, "sys/class/thermal/thermal_zone*") if _is(CPU_ZONE, zone / "type")]
    read = [number / 1000 for path in zones if (number := _number(path)) is not None] or [
        number / 1000 for path in _named(root, CPU_SENSOR, "temp*_input") if (number := _number(path)) is not None
    ]
    return [celsius for celsius in read if SANE_C[0] < celsius < SANE_C[1]]


def _most(paths: Iterable[Path]) -> float | None:
    """The greatest of some frequencies in kHz, in MHz."""
    return max((number / 1000 for path in paths if (number := _number(path)) is not None), default=None)


def _groups(root: Path) -> list[Path]:
    """The control group (v2) of this process and those around it, innermost first."""
    found = re.search(r"^0::/(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    if not found:
        return []
    top = root / "sys/fs/cgroup"
    inner = top / found[1]
    return [inner, *(parent for parent in inner.parents if parent.is_relative_to(top))]


def _memory(root: Path, groups: list[Path]) -> tuple[float | None, float | None]:
    """Total and available, in MiB, of the machine or of the narrowest group."""
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE))
    total, available = (int(lines[key]) << 10 if key in lines else None for key in ("MemTotal", "MemAvailable"))
    for group in groups:
        limit = min(filter(None, (_number(group / "memory.max"), _number(group / "memory.high"))), default=None)
        used = _number(group / "memory.current")
        if limit is None or used is None or (total is not None and limit >= total):
            continue
        cached = re.search(r"^inactive_file (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
        left = max(0, limit - used + (int(cached[1]) if cached else 0))
        total, available = limit, left if available is None else min(available, left)
    return total and total / MIB, None if available is None else available / MIB


def _pressure(root: Path, groups: list[Path], kind: str) -> float | None:
    """The machine's or the group's, whichever is worse."""
    texts = [_text(root / "proc/pressure" / kind), *(_text(group / f"{kind}.pressure") for group in groups)]
    return max((float(found[1]) for text in texts if (found := re.search(r"some avg10=([\d.]+)", text))), default=None)


def _load(root: Path) -> float | None:
    cores = 0
    for span in _text(root / "sys/devices/system/cpu/online").split(","):
        first, _, last = span.partition("-")
        cores += int(last or first) - int(first) + 1 if first.isdigit() else 0
    load = _text(root / "proc/loadavg").partition(" ")[0]
    return float(load) / cores if load and cores else None


def _free(state: Path | None) -> float | None:
    try:
        disk = os.statvfs(state) if state else None
    except OSError:
        return None
    return disk and disk.f_bavail * disk.f_frsize / MIB


TIME_ERROR = 5
"""What adjtimex(2) answers when nothing disciplines the clock."""


def _synchronised(root: Path) -> bool | None:
    """By systemd-timesyncd's mark, else by the kernel.

    The kernel is not asked under a system call filter: a filter may end a process that asks for anything of the clock.
    """
    timesync = root / "run/systemd/timesync"
    if os.path.exists(timesync / "synchronized"):
        return True
    filtered = not re.search(r"^Seccomp:\s+0$", _text(root / "proc/self/status"), re.MULTILINE)
    if root != Path("/") or filtered:
        return False if os.path.isdir(timesync) else None
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))  # all zero: a question, no change
    return None if state < 0 else state != TIME_ERROR
