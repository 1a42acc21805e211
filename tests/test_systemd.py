"""The units as systemd reads them: no unknown key, little exposed, nothing that an old systemd does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[1] / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
SANDBOXED = {
    "appliance.service": 1.5, "appliance-model@.service": 1.5, "appliance-selftest.service": 1.5,
    "appliance-trial.service": 2.0, "appliance-update.service": 1.5, "appliance-stick@.service": 2.0,
}  # fmt: skip
"""Unit -> most exposure that ``systemd-analyze security`` may find. The others run one command of root's.

Who changes the program is root, which is where most of it comes from.
"""
TOO_NEW = {
    "RestartSteps", "RestartMaxDelaySec", "RestartMode", "ExitType", "OpenFile", "MemoryZSwapMax", "StartupMemoryMax",
    "LogFilterPatterns", "ReloadSignal", "PrivatePIDs", "ProtectControlGroupsEx", "DelegateNamespaces",
}  # fmt: skip
"""Keys that systemd 249 does not know (systemd.exec(5), systemd.service(5): what was added in 250 and later)."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, beside a command for them to start."""
    command = tmp_path / "appliance"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for unit in UNITS.iterdir():
        if unit.suffix in (".service", ".timer", ".path"):
            text = unit.read_text().replace("/usr/bin/appliance", str(command))
            (tmp_path / unit.name).write_text(text.replace("/usr/libexec/appliance", str(UNITS / "libexec")))
    return tmp_path


@needs_systemd
def test_systemd_has_no_complaint(units: Path) -> None:
    """Its exit status is 0 for an unknown key too, so what it says counts."""
    files = sorted(str(file) for file in units.iterdir() if file.name != "appliance")
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    about_ours = [line for line in (done.stdout + done.stderr).splitlines() if "appliance" in line]
    assert (done.returncode, about_ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize(("name", "most"), SANDBOXED.items(), ids=list(SANDBOXED))
def test_little_is_exposed(units: Path, name: str, most: float) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={round(most * 10)}", units / name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "--offline" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    overall = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert overall is not None, done.stderr
    assert (done.returncode, float(overall[1]) <= most) == (0, True), done.stdout


def test_only_the_drop_in_of_amd64_allows_generated_code() -> None:
    """docs/service.md; image/install puts the drop-in nowhere else."""
    for unit in SANDBOXED:
        assert ("MemoryDenyWriteExecute", "yes") in _settings(UNITS / unit)
    drop_in = UNITS / "appliance.service.d" / "generated-code.conf"
    assert _settings(drop_in) == [("MemoryDenyWriteExecute", "no")]
    install = (UNITS.parent / "image" / "install").read_text()
    assert re.findall(r".*generated-code.*", install) == [
        '[ "$arch" != amd64 ] || put usr/lib/systemd/system/appliance.service.d '
        "systemd/appliance.service.d/generated-code.conf"
    ]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_an_old_systemd_knows_every_key(unit: Path) -> None:
    assert not TOO_NEW & {key for key, _ in _settings(unit)}


def test_newer_keys_have_a_drop_in_of_their_own() -> None:
    assert {key for key, _ in _settings(UNITS / "appliance.service.d" / "backoff.conf")} & TOO_NEW


def test_what_the_daemon_may_reach() -> None:
    """Nothing but the local network, sound cards and GPIO lines; no capability."""
    settings = _settings(UNITS / "appliance.service")
    assert [value for key, value in settings if key == "DeviceAllow"] == ["char-alsa rw", "char-gpiochip rw"]
    assert ("IPAddressDeny", "any") in settings
    assert ("CapabilityBoundingSet", "") in settings
    allowed = next(value for key, value in settings if key == "IPAddressAllow").split()
    assert set(allowed) == {
        *("localhost", "link-local", "multicast"),
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    }


def test_it_is_never_given_up_and_told_often_enough() -> None:
    settings = dict(_settings(UNITS / "appliance.service"))
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == ("always", "0")
    assert (settings["Type"], settings["NotifyAccess"]) == ("notify", "main")


def test_there_is_time_to_drain() -> None:
    from appliance.config import load

    settings = dict(_settings(UNITS / "appliance.service"))
    assert int(settings["TimeoutStopSec"]) > load().server.drain_s + 20


def test_the_shipped_configuration_serves_the_network_to_those_with_a_key() -> None:
    from appliance.config import load

    config = load(UNITS / "appliance.toml")
    assert (config.server.host, config.server.auth, config.tls.enabled) == ("0.0.0.0", "auto", True)


def test_the_page_that_units_name_is_installed() -> None:
    """README.md, docs and hardware lie in the installed folder as they do here."""
    pages = [value for unit in SERVICES for key, value in _settings(unit) if key == "Documentation"]
    assert len(pages) >= 3
    for page in pages:
        assert (UNITS.parent / page.removeprefix("file:///usr/share/doc/appliance/")).is_file()


def test_what_is_enabled_exists() -> None:
    """A preset for a unit that is misspelt does nothing and says nothing."""
    preset = (UNITS / "system-preset" / "80-appliance.preset").read_text().split("\n")
    enabled = [line.split()[1] for line in preset if line.startswith("enable ")]
    assert "appliance.service" in enabled
    assert [name for name in enabled if "[Install]" not in (UNITS / name).read_text()] == []


def _settings(unit: Path) -> list[tuple[str, str]]:
    lines = (line.strip() for line in unit.read_text().splitlines())
    return [(key, value) for key, sign, value in (line.partition("=") for line in lines if line[:1] != "#") if sign]


def test_what_the_daemon_asks_root_for_has_a_unit_that_waits_for_it() -> None:
    """File in the runtime directory -> the path unit that is enabled, and what it starts does away with it first."""
    from appliance.controls import POWEROFF
    from appliance.server.updates import ASK, SPOOL

    preset = (UNITS / "system-preset" / "80-appliance.preset").read_text()
    for name in (POWEROFF, ASK):
        assert ("PathExists", f"/run/appliance/{name}") in _settings(UNITS / f"appliance-{name}.path")
        assert f"enable appliance-{name}.path" in preset
        first = next(
            value for key, value in _settings(UNITS / f"appliance-{name}.service") if key.startswith("ExecStart")
        )
        assert first.endswith(f"/bin/rm -f /run/appliance/{name}")
    assert ("ExecStopPost", f"+/bin/rm -f /var/cache/appliance/{SPOOL}") in _settings(
        UNITS / "appliance-update.service"
    )


def test_what_guards_the_program_is_called_around_every_start_and_after_every_trial() -> None:
    settings = _settings(UNITS / "appliance.service")
    guard = "/usr/libexec/appliance/guard"
    for key, what in (("ExecStartPre", "starting"), ("ExecStartPost", "ready"), ("ExecStopPost", "ended")):
        assert [value for name, value in settings if name == key] == [f"+-{guard} {what}"]
    trial = _settings(UNITS / "appliance-trial.service")
    assert ("ExecStopPost", f"{guard} settle") in trial


def test_there_is_time_for_a_trial() -> None:
    """The unit is ended by systemd only if the trial does not end by itself."""
    from appliance.update import stage, trial

    longest = trial.STOP_S + trial.START_S + trial.PROVE_S + 60
    took = dict(_settings(UNITS / "appliance-trial.service"))
    assert int(took["TimeoutStartSec"]) > longest
    for unit in ("appliance-update.service", "appliance-stick@.service"):
        assert int(dict(_settings(UNITS / unit))["TimeoutStartSec"]) > int(took["TimeoutStartSec"]) + stage.COMPILE_S
