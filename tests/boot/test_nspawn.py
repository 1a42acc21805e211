"""The service in a booted container: it gets ready, is closed where the unit says so, and does its errands."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.clients import KIOSK
from tests.boot.conftest import Boot, Box, booted
from tests.boot.root import CHECKOUT

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module")
def box(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One that nothing is done to."""
    with booted(root, tmp_path_factory.mktemp("box"), KIOSK) as box:
        box.machine.ready()
        yield box


def test_it_is_ready_and_says_so(box: Box) -> None:
    facts = box.machine.until(StatusText="ready")
    assert (facts["ActiveState"], facts["SubState"], facts["NRestarts"]) == ("active", "running", "0")
    with urllib.request.urlopen(f"{box.url()}/readyz", timeout=10) as answer:
        assert json.load(answer)["ready"] is True


def test_the_system_has_no_failed_unit(box: Box) -> None:
    assert box.machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""
    assert box.machine.run("systemctl", "is-enabled", "appliance-selftest.timer", "appliance-poweroff.path") == (
        "enabled\nenabled"
    )


def test_this_systemd_has_no_complaint(box: Box) -> None:
    """The newer one inside reads the units with their drop-in and judges them as installed."""
    said = box.machine.run(
        "sh", "-c", "systemd-analyze verify appliance.service appliance-model@x.service appliance-selftest.timer "
        "appliance-poweroff.path appliance-hotplug.service 2>&1",
    )  # fmt: skip
    assert said == ""
    told = box.machine.run("systemd-analyze", "security", "--no-pager", "appliance.service")
    exposure = re.search(r"exposure level for \S+ ([0-9.]+)", told)
    assert exposure is not None
    assert float(exposure[1]) <= 1.5


def test_no_process_of_it_has_any_right(box: Box) -> None:
    """What the kernel says of the daemon, the template and the workers, not what the unit asks for."""
    processes = box.machine.processes()
    assert len(processes) >= 2
    for pid in processes:
        status = dict(line.split(":\t", 1) for line in box.machine.run("cat", f"/proc/{pid}/status").splitlines())
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["Uid"].split()[0]) >= 61184, "a dynamic user"
        if "scheduling.template" in processes[pid]:
            assert status["Threads"] == "1", "it is forked, so no library may have started a thread"


def test_what_its_sandbox_refuses(box: Box) -> None:
    """Tried by a process that is put into the daemon's own namespaces and made its user."""
    main = box.machine.show()["MainPID"]

    def inside(script: str) -> str:
        owner = box.machine.run("stat", "-L", "-c", "%u", "/var/lib/appliance")
        return box.machine.run(
            *("nsenter", "-t", main, "-m", "setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups"),
            *("sh", "-c", script),
            check=False,
        )

    for folder in ("/usr", "/etc/appliance", "/opt", "/var/log", "/root", "/home", "/usr/lib/appliance"):
        assert inside(f"touch {folder}/x 2>/dev/null && echo written") == "", folder
    assert inside("ls /home /root 2>/dev/null") == ""
    for folder in ("/var/lib/appliance", "/var/cache/appliance", "/run/appliance", "/tmp"):
        assert inside(f"touch {folder}/x && rm {folder}/x && echo written") == "written", folder


def test_only_root_and_the_service_read_its_state(box: Box) -> None:
    """Also what root makes there with the command belongs to the service."""
    box.key("reader")
    owner, mode = box.machine.run("stat", "-L", "-c", "%u %a", "/var/lib/appliance").split()
    assert mode == "700"
    files = box.machine.run("find", "/var/lib/private/appliance", "-printf", "%U %P\\n").splitlines()
    assert {line.split(" ")[0] for line in files} == {owner}
    assert "accounts/keys.json" in {line.split(" ")[1] for line in files}


def test_messages_have_fields_to_search_by(box: Box) -> None:
    """The microphone that is missing is found by its name."""
    found = box.machine.wait_for(
        lambda: box.machine.run("journalctl", "--no-pager", "--output=json", "MICROPHONE=default", check=False),
        "a record of the microphone",
        limit_s=15,
    )
    assert json.loads(found.splitlines()[0])["_SYSTEMD_UNIT"] == "appliance.service"


def test_without_a_microphone_it_is_not_started_again(box: Box) -> None:
    facts = box.machine.until(StatusText="microphone default: absent")
    assert (facts["ActiveState"], facts["NRestarts"]) == ("active", "0")


def test_the_self_test_passes_and_leaves_the_daemons_folder_alone(box: Box) -> None:
    """Of the same dynamic user: it must not take over the folder of a daemon that goes on, or of the next one."""
    for _ in range(2):
        box.machine.wait_for(lambda: box.machine.run("ls", "/run/appliance/selftest.key", check=False), "the key")
        box.machine.run("systemctl", "start", "appliance-selftest.service", limit_s=120)
        assert box.machine.show("appliance-selftest.service")["Result"] == "success"
        assert box.machine.run("ls", "/run/appliance/selftest.key"), "the daemon's folder outlives the test"
        box.machine.run("sh", "-c", "test ! -L /run/appliance")
        owner = box.machine.run("stat", "-L", "-c", "%u", "/var/lib/appliance")
        box.machine.run("setpriv", f"--reuid={owner}", "--clear-groups", "touch", "/run/appliance/x")
        box.machine.run("systemctl", "restart", "appliance.service", limit_s=120)
        box.machine.until(ActiveState="active", StatusText="ready")


def test_plugging_a_card_does_not_end_a_daemon_that_starts(box: Box) -> None:
    """Until it has a handler SIGUSR1 would; the unit that sends it waits."""
    before = box.machine.run("systemctl", "show", "appliance.service", "-p", "NRestarts", "--value")
    box.machine.run("systemctl", "restart", "--no-block", "appliance.service")
    box.machine.run("systemctl", "start", "appliance-hotplug.service", limit_s=120)
    facts = box.machine.ready()
    assert facts["NRestarts"] == before


def test_a_model_is_fetched_by_a_unit_of_its_own(box: Box) -> None:
    """One that came with the software, for want of a network; the service's user and folder are those of the daemon."""
    box.machine.run("systemctl", "start", "appliance-model@kiosk-words.service")
    assert "kiosk-words is installed" in box.machine.journal("appliance-model@kiosk-words.service")


def test_a_model_that_there_is_not_is_an_error_of_the_download_alone(box: Box) -> None:
    box.machine.run("systemctl", "start", "appliance-model@no-such-model.service", check=False)
    assert box.machine.show("appliance-model@no-such-model.service")["Result"] == "exit-code"
    assert "no-such-model is neither" in box.machine.journal("appliance-model@no-such-model.service")
    assert box.machine.show()["ActiveState"] == "active"


def test_installing_again_restarts_what_runs_and_enables_nothing_anew(boot: Boot) -> None:
    """An upgrade, into the root of a running system."""
    with boot(KIOSK, f"--bind-ro={CHECKOUT}:/srv/checkout") as box:
        before = box.machine.until(StatusText="ready")
        box.machine.run("systemctl", "disable", "appliance-selftest.timer")
        assert "installed and started" in box.machine.run("/srv/checkout/image/install", "/", limit_s=180)
        box.machine.wait_for(lambda: box.machine.show()["MainPID"] not in ("0", before["MainPID"]), "another daemon")
        after = box.machine.until(ActiveState="active", StatusText="ready")
        assert (after["Result"], after["NRestarts"]) == ("success", "0")
        enabled = box.machine.run(
            "systemctl", "is-enabled", "appliance.service", "appliance-selftest.timer", check=False
        )
        assert enabled == "enabled\ndisabled"
        assert box.machine.run("sh", "-c", "ls -d /usr/lib/appliance*") == "/usr/lib/appliance"


def test_the_button_ends_the_machine(boot: Boot) -> None:
    """The file that the daemon makes for a long press, made as its user."""
    with boot(KIOSK) as box:
        box.machine.ready()
        owner = box.machine.run("stat", "-L", "-c", "%u", "/run/appliance")
        box.machine.run("setpriv", f"--reuid={owner}", "--clear-groups", "touch", "/run/appliance/poweroff")
        box.machine.wait_off()
        assert "Power-Off" in box.machine.log.read_text(errors="replace") or not box.machine.on
