"""Boards as their files show them; each tree is what such a board's public listings have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from appliance.board.sensors import CONCERNS, Readings, concerns, read

UNREADABLE = "(a sensor without power)"

MACHINE = {
    "proc/meminfo": "MemTotal:         948304 kB\nMemFree:          100000 kB\nMemAvailable:     512000 kB\n",
    "proc/loadavg": "1.20 0.80 0.40 1/140 1234\n",
    "sys/devices/system/cpu/online": "0-3\n",
}
PI3 = {
    **MACHINE,
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "84388\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/temp1_input": "84388\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50002\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1200000\n",
}
PI5 = {
    **MACHINE,
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "52150\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "2\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon1/name": "rp1_adc\n",
    "sys/class/hwmon/hwmon1/temp1_input": "91000\n",
    "sys/class/hwmon/hwmon2/name": "pwmfan\n",
    "sys/class/hwmon/hwmon3/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon3/in0_lcrit_alarm": "1\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
}
JETSON = {
    **MACHINE,
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61906\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "99000\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": UNREADABLE,
    "sys/class/thermal/thermal_zone5/type": "soc0-thermal\n",
    "sys/class/thermal/thermal_zone5/temp": UNREADABLE,
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "63625\n",
    "sys/class/thermal/thermal_zone9/type": "PMIC-Die\n",
    "sys/class/thermal/thermal_zone9/temp": "100000\n",
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device7/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device7/cur_state": "3\n",
    "sys/class/thermal/cooling_device8/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device8/cur_state": "0\n",
    "sys/class/thermal/cooling_device9/type": "gpu-throttle-alert\n",
    "sys/class/thermal/cooling_device9/cur_state": "1\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon3/oc2_event_cnt": "15\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "37\n",
    "sys/class/hwmon/hwmon3/oc1_throt_en": "1\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq": "1510400\n",
}
X86 = {
    **MACHINE,
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "27800\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "71000\n",
    "sys/class/thermal/thermal_zone2/type": "iwlwifi_1\n",
    "sys/class/thermal/thermal_zone2/temp": "90000\n",
    "sys/class/thermal/cooling_device0/type": "Processor\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device4/type": "intel_powerclamp\n",
    "sys/class/thermal/cooling_device4/cur_state": "-1\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "12\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "2800000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "3400000\n",
}


def board(root: Path, *trees: dict[str, str]) -> Path:
    for tree in trees:
        for name, text in tree.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is UNREADABLE:
                path.mkdir()
            else:
                path.write_text(text)
    return root


def heat(readings: Readings) -> tuple[object, ...]:
    return (
        readings.temperature_c,
        *(readings.throttled, readings.throttled_before, readings.under_voltage, readings.under_voltage_before),
        *(readings.frequency_mhz, readings.frequency_max_mhz),
    )


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (PI3, (84.388, True, True, False, True, 600, 1200)),
        (PI5, (52.15, None, None, True, None, 1500, 2400)),  # its kernels have no word of the firmware's
        (JETSON, (63.625, False, True, None, False, 1510.4, 1510.4)),
        (X86, (71.0, False, True, None, None, 2800, 3400)),
        ({}, (None,) * 7),
    ],
    ids=["pi3", "pi5", "jetson", "x86", "nothing"],
)
def test_boards(tmp_path: Path, tree: dict[str, str], expected: tuple[object, ...]) -> None:
    assert heat(read(board(tmp_path, tree))) == expected


FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("word", "throttled", "before", "under_voltage", "under_voltage_before"),
    [
        ("0", False, False, False, False),
        ("50005", True, True, True, True),
        ("1", False, False, True, False),
        ("2", True, False, False, False),
        ("80008", True, True, False, False),
        ("e0000", False, True, False, False),
        ("10000", False, False, False, True),
        ("nonsense", None, None, None, None),
    ],
)
def test_bits_of_the_firmware(
    tmp_path: Path, word: str, throttled: bool, before: bool, under_voltage: bool, under_voltage_before: bool
) -> None:
    said = read(board(tmp_path, {FIRMWARE: f"{word}\n"}))
    assert (said.throttled, said.throttled_before) == (throttled, before)
    assert (said.under_voltage, said.under_voltage_before) == (under_voltage, under_voltage_before)


def test_the_alarm_of_the_driver_counts_without_the_firmware_s_word(tmp_path: Path) -> None:
    alarm = {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}
    assert read(board(tmp_path, PI3, alarm)).under_voltage is True


def test_a_jetson_that_slows_down(tmp_path: Path) -> None:
    alert = {"sys/class/thermal/cooling_device8/cur_state": "1\n"}
    assert read(board(tmp_path, JETSON, alert)).throttled is True


def test_sensors_that_are_off_and_processors_without_a_zone(tmp_path: Path) -> None:
    tree = {
        "sys/class/thermal/thermal_zone0/type": "acpitz\n",
        "sys/class/thermal/thermal_zone0/temp": "16800\n",
        "sys/class/hwmon/hwmon0/name": "nvme\n",
        "sys/class/hwmon/hwmon0/temp1_input": "80000\n",
        "sys/class/hwmon/hwmon1/name": "k10temp\n",
        "sys/class/hwmon/hwmon1/temp1_input": "66250\n",
        "sys/class/hwmon/hwmon1/temp3_input": "-256000\n",
    }
    assert read(board(tmp_path, tree)).temperature_c == 66.25


def test_a_device_that_goes_away_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file system says then; the rest is read as ever."""
    known = os.scandir

    def scandir(path: Path) -> Any:
        if "hwmon" in str(path):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return known(path)

    root = board(tmp_path, PI3)
    monkeypatch.setattr(os, "scandir", scandir)
    assert heat(read(root)) == (84.388, True, True, False, True, 600, 1200)


PRESSURE = "some avg10={} avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"


def test_memory_load_and_pressure_of_the_machine(tmp_path: Path) -> None:
    pressure = {f"proc/pressure/{kind}": PRESSURE.format(number) for kind, number in (("memory", 1.5), ("cpu", 20.25))}
    said = read(board(tmp_path, MACHINE, pressure))
    assert said.memory_total_mb == pytest.approx(926.1, abs=0.1)
    assert said.memory_available_mb == 500
    assert said.load == pytest.approx(0.3)
    assert (said.memory_pressure, said.cpu_pressure) == (1.5, 20.25)


SERVICE = "sys/fs/cgroup/system.slice/appliance.service"


def test_memory_and_pressure_of_the_service(tmp_path: Path) -> None:
    """The narrower of two groups, less than the machine; its cache can be had back."""
    group = {
        "proc/self/cgroup": "0::/system.slice/appliance.service\n",
        "proc/pressure/memory": PRESSURE.format("0.00"),
        f"{SERVICE}/memory.max": f"{400 << 20}\n",
        f"{SERVICE}/memory.high": f"{300 << 20}\n",
        f"{SERVICE}/memory.current": f"{280 << 20}\n",
        f"{SERVICE}/memory.stat": f"anon {200 << 20}\ninactive_file {30 << 20}\n",
        f"{SERVICE}/memory.pressure": PRESSURE.format("12.50"),
        "sys/fs/cgroup/system.slice/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/memory.high": "max\n",
        "sys/fs/cgroup/system.slice/memory.current": f"{500 << 20}\n",
    }
    said = read(board(tmp_path, MACHINE, group))
    assert (said.memory_total_mb, said.memory_available_mb, said.memory_pressure) == (300, 50, 12.5)


def test_limits_that_limit_nothing(tmp_path: Path) -> None:
    group = {
        "proc/self/cgroup": "9:name=systemd:/\n0::/\n",
        "sys/fs/cgroup/memory.max": f"{1 << 40}\n",
        "sys/fs/cgroup/memory.current": "1\n",
    }
    assert read(board(tmp_path, MACHINE, group)).memory_available_mb == 500


def test_disk(tmp_path: Path) -> None:
    free = read(tmp_path, state=tmp_path).disk_free_mb
    assert free is not None
    assert free > 0
    assert read(tmp_path, state=tmp_path / "none").disk_free_mb is None


def test_clock(tmp_path: Path) -> None:
    assert read(tmp_path).clock_synchronised is None
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    assert read(tmp_path).clock_synchronised is False
    (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert read(tmp_path).clock_synchronised is True


def test_this_machine_is_read() -> None:
    said = read(state=Path("/"))
    assert said.memory_total_mb is not None
    assert said.memory_available_mb is not None
    assert 0 < said.memory_available_mb <= said.memory_total_mb
    assert said.load is not None


def test_no_concern_without_knowledge_or_in_good_health() -> None:
    assert concerns(Readings()) == ()
    good = Readings(
        temperature_c=55, throttled=False, throttled_before=True, under_voltage=False, under_voltage_before=True,
        frequency_mhz=1200, frequency_max_mhz=1200, memory_total_mb=926, memory_available_mb=500,
        memory_pressure=0, cpu_pressure=30, load=0.9, disk_free_mb=4000, clock_synchronised=True,
    )  # fmt: skip
    assert concerns(good) == ()


def test_the_gravest_first() -> None:
    bad = Readings(temperature_c=84.4, throttled=True, under_voltage=True, clock_synchronised=False)
    voltage, hot, throttled, clock = concerns(bad)
    assert voltage.startswith("under-voltage: use a stronger power supply")
    assert hot == "hot: 84 °C"
    assert throttled.startswith("throttled")
    assert clock.startswith("the clock")


def test_what_passes_by_itself_is_no_fault() -> None:
    busy = Readings(load=3, cpu_pressure=95, memory_pressure=20, clock_synchronised=False)
    assert len(concerns(busy)) == 4
    assert concerns(busy, faults=True) == ()
    assert concerns(Readings(load=3, temperature_c=84), faults=True) == ("hot: 84 °C",)


@pytest.mark.parametrize(("field", "comparison", "limit", "fault", "sentence"), CONCERNS)
def test_each_limit(field: str, comparison: str, limit: float, fault: bool, sentence: str) -> None:
    beyond, within = (limit - 1, limit) if comparison == "<" else (limit, limit - 1)
    assert concerns(Readings(**{field: beyond})) == (sentence.format(**{field: beyond}),)
    assert bool(concerns(Readings(**{field: beyond}), faults=True)) is fault
    assert "{" not in sentence.partition(": ")[0]
    assert concerns(Readings(**{field: within})) == ()
