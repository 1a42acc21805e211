"""What breaks around the service: each fault ends in a state that is known, told, and left when the fault is gone."""

from __future__ import annotations

import asyncio
import signal

import pytest

from appliance.packs.store import embedded
from tests.boot.clients import KIOSK, all_said, understood
from tests.boot.conftest import Boot, Box

pytestmark = pytest.mark.boot

SMALL = "--tmpfs=/var/lib/private:mode=0700,size=160m"
"""A disk of its own for what is kept, so that filling it fills nothing else."""
MODEL = "/srv/model"
OWN = '[recognizer]\nmodel = "own-words"\n'


def with_model() -> str:
    """The argument of ``boot`` that brings a model to install."""
    return f"--bind-ro={embedded()['kiosk-words']}:{MODEL}"


def hears(box: Box, key: str) -> bool:
    return understood(asyncio.run(all_said(box.url("ws"), key)))


def test_a_full_disk_is_told_and_serving_goes_on(boot: Boot) -> None:
    with boot(KIOSK, SMALL) as box:
        facts = box.machine.until(StatusText="ready")
        key = box.key()
        box.machine.run("sh", "-c", "cat /dev/zero > /var/lib/private/appliance/filler", check=False)
        box.machine.until(StatusText="the disk is nearly full")
        assert hears(box, key)
        after = box.machine.show()
        assert (after["MainPID"], after["ActiveState"]) == (facts["MainPID"], "active")
        box.machine.run("rm", "/var/lib/private/appliance/filler")
        box.machine.wait_for(lambda: "nearly full" not in box.machine.show()["StatusText"], "a status without it")
        assert hears(box, key)


def test_it_starts_on_a_full_disk(boot: Boot) -> None:
    with boot(KIOSK, SMALL) as box:
        box.machine.until(StatusText="ready")
        key = box.key()
        box.machine.run("sh", "-c", "cat /dev/zero > /var/lib/private/appliance/filler", check=False)
        box.machine.run("systemctl", "restart", "appliance", limit_s=120)
        box.machine.until(ActiveState="active", StatusText="the disk is nearly full")
        assert hears(box, key)


def test_a_disk_that_turns_read_only_is_told_and_serving_goes_on(boot: Boot) -> None:
    """As the kernel does with a card that fails."""
    with boot(KIOSK, SMALL) as box:
        facts = box.machine.until(StatusText="ready")
        key = box.key()
        box.machine.run("mount", "-o", "remount,ro", "/var/lib/private")
        box.machine.until(StatusText="on a disk that is read-only")
        assert hears(box, key)
        assert box.machine.show()["MainPID"] == facts["MainPID"]
        box.machine.run("mount", "-o", "remount,rw", "/var/lib/private")
        box.machine.wait_for(lambda: "read-only" not in box.machine.show()["StatusText"], "a status without it")


def test_a_state_folder_that_cannot_be_had_is_tried_again_ever_later(boot: Boot) -> None:
    """Nothing can be kept and no key be read: systemd does not start the daemon, says why, and does when it can."""
    with boot(KIOSK, SMALL) as box:
        box.machine.ready()
        box.machine.run("systemctl", "stop", "appliance")
        box.machine.run("sh", "-c", "rm -r /var/lib/private/appliance; mount -o remount,ro /var/lib/private")
        box.machine.run("systemctl", "start", "--no-block", "appliance")
        facts = box.machine.until(SubState="auto-restart", NRestarts="2")
        assert facts["ExecMainStatus"] == "238", "EXIT_STATE_DIRECTORY"
        assert "Read-only file system" in box.machine.journal()
        box.machine.run("mount", "-o", "remount,rw", "/var/lib/private")
        box.machine.until(ActiveState="active", StatusText="ready")


def test_a_read_only_system_with_a_place_to_write_serves(boot: Boot) -> None:
    with boot(KIOSK, volatile="state") as box:
        box.machine.until(ActiveState="active", StatusText="ready")
        assert box.machine.run("sh", "-c", "touch /usr/x 2>&1 || true").endswith("Read-only file system")
        assert hears(box, box.key())


def test_a_system_without_etc_and_var_sets_itself_up(boot: Boot) -> None:
    """Reset to the factory: users, folders and what starts come from /usr alone."""
    with boot(KIOSK, volatile="yes") as box:
        box.machine.until(ActiveState="active", StatusText="ready")
        assert hears(box, box.key())


def test_a_model_that_is_missing_is_told_until_it_is_there(boot: Boot) -> None:
    """It comes up without one, to be asked what is wrong, and is not started again and again."""
    with boot(OWN, with_model()) as box:
        facts = box.machine.until(StatusText="no model: the model own-words is not installed")
        assert (facts["ActiveState"], facts["NRestarts"]) == ("activating", "0")
        install(box)
        box.machine.run("systemctl", "restart", "appliance", limit_s=120)
        box.machine.until(ActiveState="active", StatusText="ready")
        assert hears(box, box.key())


@pytest.mark.parametrize("size", ["1000", "same"])
def test_a_model_that_is_damaged_is_told_until_it_is_whole(boot: Boot, size: str) -> None:
    """Cut short, or as long as it was but not what it was."""
    with boot(OWN, with_model()) as box:
        box.machine.until(StatusText="no model")
        install(box)
        damage = f"truncate -s {size}" if size != "same" else "shred -n 1 -x"
        box.machine.run("sh", "-c", f"{damage} /var/lib/private/appliance/models/own-words/am/final.mdl")
        box.machine.run("systemctl", "restart", "--no-block", "appliance")
        box.machine.until(ActiveState="activating", SubState="start")
        facts = box.machine.until(StatusText="no model")
        assert facts["ActiveState"] == "activating"
        assert "own-words" in facts["StatusText"]
        install(box)
        box.machine.run("systemctl", "restart", "appliance", limit_s=120)
        box.machine.until(ActiveState="active", StatusText="ready")
        assert hears(box, box.key())


def test_crashes_are_answered_ever_later_and_never_given_up(boot: Boot) -> None:
    with boot(KIOSK) as box:
        waits = []
        for count in range(3):
            facts = box.machine.until(ActiveState="active", NRestarts=str(count))
            waits.append(facts["RestartUSecNext"])
            box.machine.kill(int(facts["MainPID"]), signal.SIGKILL)
        box.machine.until(ActiveState="active", NRestarts="3")
        assert waits[0] == "1s"
        assert waits == sorted(set(waits), key=waits.index), "each longer than the one before"
        assert hears(box, box.key())


def test_a_configuration_with_a_mistake_is_told_and_tried_again(boot: Boot) -> None:
    with boot("[recognizer]\nmodle = 'many'\n") as box:
        box.machine.wait_for(lambda: "modle" in box.machine.journal() or None, "the key in the journal")
        facts = box.machine.until(SubState="auto-restart")
        assert "modle" in facts["StatusText"]
        box.machine.write("/etc/appliance/appliance.toml", box.configuration.replace("modle = 'many'", ""))
        box.machine.until(ActiveState="active", StatusText="ready")


def install(box: Box) -> None:
    """The model as an operator installs it."""
    box.machine.run(
        "sh", "-c", f"cp -r {MODEL} /tmp/own-words && appliance models install /tmp/own-words --language en"
    )
    box.machine.run("rm", "-r", "/tmp/own-words")
