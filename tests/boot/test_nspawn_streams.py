"""Clients outside a booted container: what was said is written, whatever happens to the service meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.boot.clients import KIOSK, all_said, finals, play, recorded, rest, sentence, stream, understood, until
from tests.boot.conftest import Boot, Box, plugged
from tests.virtual_mic import VirtualMicrophone

pytestmark = pytest.mark.boot

DESK = '[[microphones]]\nname = "desk"\ndevice = "vmic"\n'
QUICK = "[scheduling]\nhang_s = 3.0\n"
WATCHED = "WatchdogSec=5"


def feed(box: Box, key: str, name: str = "desk") -> connect:
    return connect(f"{box.url('ws')}/v1/microphones/{name}?key={key}", open_timeout=30)


def forks(box: Box) -> dict[int, bool]:
    """Template and workers, which have one command line -> whether it is the template, the daemon's own child."""
    main = box.machine.show()["MainPID"]
    found = {}
    for pid, command in box.machine.processes().items():
        status = box.machine.run("cat", f"/proc/{pid}/status", check=False)
        if "appliance.scheduling.template" in command and status:
            found[pid] = f"\nPPid:\t{main}\n" in status
    return found


def workers(box: Box) -> list[int]:
    return [pid for pid, is_template in forks(box).items() if not is_template]


def template(box: Box) -> int:
    """The one that forks, as soon as there is one."""
    (found,) = box.machine.wait_for(lambda: [pid for pid, is_it in forks(box).items() if is_it], "a template")
    return found


def test_the_room_is_heard_outside(boot: Boot, microphone: VirtualMicrophone, tmp_path: Path) -> None:
    """Played to a card in the container, read from the feed by a client that is not in it; again after kill -9."""
    with boot(KIOSK + DESK, *plugged(microphone)) as box:
        box.machine.until(StatusText="microphone desk: ready")
        key, recording = box.key(), recorded(tmp_path)

        async def hear() -> str:
            async with feed(box, key) as socket:
                await until(socket, "microphone", state="ready")
                await asyncio.to_thread(microphone.play, recording)
                return str((await until(socket, "final"))["text"])

        assert understood(asyncio.run(hear()))
        before = box.machine.processes()
        box.machine.kill(int(box.machine.show()["MainPID"]), signal.SIGKILL)
        box.machine.until(NRestarts="1", ActiveState="active", StatusText="microphone desk: ready")
        assert not set(before) & set(box.machine.processes()), "orphans"
        assert understood(asyncio.run(hear()))


def test_a_killed_worker_is_replaced_and_nothing_is_lost(boot: Boot) -> None:
    with boot(KIOSK) as box:
        facts = box.machine.ready()
        key = box.key()

        def kill() -> None:
            for pid in workers(box):
                box.machine.kill(pid, signal.SIGKILL)

        assert workers(box)
        assert understood(asyncio.run(all_said(box.url("ws"), key, kill)))
        after = box.machine.show()
        assert (after["MainPID"], after["NRestarts"]) == (facts["MainPID"], "0")


def test_a_killed_template_is_replaced_and_nobody_notices(boot: Boot) -> None:
    """It only forks; who is served is served by its children, and the next one by those of its successor."""
    with boot(KIOSK) as box:
        box.machine.ready()
        key, old = box.key(), template(box)

        def kill() -> None:
            box.machine.kill(old, signal.SIGKILL)

        assert understood(asyncio.run(all_said(box.url("ws"), key, kill)))
        for pid in workers(box):
            box.machine.kill(pid, signal.SIGKILL)
        assert template(box) != old
        assert understood(asyncio.run(all_said(box.url("ws"), key)))
        assert box.machine.show()["NRestarts"] == "0"


def test_a_worker_that_hangs_is_replaced_and_nothing_is_lost(boot: Boot) -> None:
    with boot(KIOSK + QUICK, drop_in=WATCHED) as box:
        facts = box.machine.ready()
        key = box.key()

        def stop() -> None:
            for pid in workers(box):
                box.machine.kill(pid, signal.SIGSTOP)

        assert understood(asyncio.run(all_said(box.url("ws"), key, stop)))
        after = box.machine.show()
        assert (after["MainPID"], after["NRestarts"]) == (facts["MainPID"], "0")


def test_a_daemon_that_hangs_is_started_again(boot: Boot) -> None:
    """The watchdog ends it and all its processes; clients can come back."""
    with boot(KIOSK, drop_in=WATCHED) as box:
        box.machine.ready()
        key, before = box.key(), box.machine.processes()
        box.machine.kill(int(box.machine.show()["MainPID"]), signal.SIGSTOP)
        box.machine.until(Result="watchdog", limit_s=60)
        box.machine.until(NRestarts="1", ActiveState="active")
        assert not set(before) & set(box.machine.processes())
        assert understood(asyncio.run(all_said(box.url("ws"), key)))
        assert "Watchdog timeout" in box.machine.journal()


def test_a_healthy_daemon_is_left_alone_by_the_watchdog(boot: Boot) -> None:
    """Also while it works, and while it has nothing to do."""
    with boot(KIOSK, drop_in=WATCHED) as box:
        facts = box.machine.ready()
        key = box.key()
        assert understood(asyncio.run(all_said(box.url("ws"), key)))
        asyncio.run(asyncio.sleep(12))
        after = box.machine.show()
        assert (after["MainPID"], after["NRestarts"]) == (facts["MainPID"], "0")


def test_a_stop_gives_clients_their_last_words(boot: Boot) -> None:
    """Stopped in the middle of speech: the final of what was said, and a close that says why."""
    with boot(KIOSK) as box:
        box.machine.ready()
        key = box.key()

        async def work() -> None:
            async with stream(box.url("ws"), key) as socket:
                await play(socket, sentence(after_s=0.0))
                stopping = asyncio.create_task(asyncio.to_thread(box.machine.run, "systemctl", "stop", "appliance"))
                events, code = await rest(socket)
                await stopping
            assert understood(finals(events)), events
            assert code in (1000, 1012), events

        asyncio.run(work())
        facts = box.machine.show()
        assert (facts["ActiveState"], facts["Result"], facts["ExecMainStatus"]) == ("inactive", "success", "0")
        assert "stopping" in box.machine.journal()


def test_a_stop_gives_the_room_its_last_words(boot: Boot, microphone: VirtualMicrophone, tmp_path: Path) -> None:
    """Stopped while somebody speaks to the microphone: the feed has the final of what was heard, then it closes."""
    with boot(KIOSK + DESK, *plugged(microphone)) as box:
        box.machine.until(StatusText="microphone desk: ready")
        key, recording = box.key(), recorded(tmp_path)

        async def work() -> None:
            async with feed(box, key) as socket:
                await until(socket, "microphone", state="ready")
                playing = asyncio.create_task(asyncio.to_thread(microphone.play, recording))
                await until(socket, "partial")
                await asyncio.to_thread(box.machine.run, "systemctl", "stop", "appliance")
                events, code = await rest(socket)
                await playing
            assert finals(events), events
            assert code in (1001, 1012), events

        asyncio.run(work())
        assert box.machine.show()["Result"] == "success"


def test_a_stop_is_over_in_time_though_a_worker_hangs(boot: Boot) -> None:
    """The client is told after ``drain_s``; nothing has to be ended by systemd."""
    with boot(KIOSK) as box:
        box.machine.ready()
        key = box.key()

        async def work() -> None:
            async with stream(box.url("ws"), key) as socket:
                await play(socket, sentence(after_s=0.0))
                for pid in workers(box):
                    await asyncio.to_thread(box.machine.kill, pid, signal.SIGSTOP)
                stopping = asyncio.create_task(asyncio.to_thread(box.machine.run, "systemctl", "stop", "appliance"))
                events, code = await rest(socket)
                assert code == 1012, events
                assert events[-1]["type"] == "error"
                await stopping

        asyncio.run(work())
        assert box.machine.show()["Result"] == "success"
        assert "timed out" not in box.machine.journal()


def test_a_stop_while_it_starts_is_obeyed(boot: Boot) -> None:
    with boot(KIOSK) as box:
        box.machine.until(ActiveState="activating")
        began = time.monotonic()
        box.machine.run("systemctl", "stop", "appliance")
        facts = box.machine.show()
        assert (facts["ActiveState"], facts["Result"]) == ("inactive", "success")
        assert time.monotonic() - began < 20
        assert not box.machine.processes()


def test_keys_and_a_reload_disturb_nobody_else(boot: Boot) -> None:
    """One is speaking while another key comes, one goes, and all is read again."""
    with boot(KIOSK) as box:
        facts = box.machine.ready()
        key, gone = box.key("speaker"), box.key("gone")
        new: list[str] = []

        def change() -> None:
            new.append(box.key("new"))
            listed = json.loads(box.machine.run("appliance", "keys", "list", "--json"))
            box.machine.run("appliance", "keys", "revoke", next(row["id"] for row in listed if row["name"] == "gone"))
            box.machine.run("systemctl", "reload", "appliance")

        assert understood(asyncio.run(all_said(box.url("ws"), key, change)))
        assert understood(asyncio.run(all_said(box.url("ws"), new[0])))
        with pytest.raises(InvalidStatus) as refused:
            asyncio.run(all_said(box.url("ws"), gone))
        assert refused.value.response.status_code in (401, 403)
        assert box.machine.show()["MainPID"] == facts["MainPID"]


def test_a_bad_configuration_is_not_taken_by_a_reload(boot: Boot) -> None:
    """What is in force stays, and the status says what is wrong, until a good one is there."""
    with boot(KIOSK) as box:
        facts = box.machine.ready()
        key = box.key()
        box.machine.write("/etc/appliance/appliance.toml", box.configuration + "[limits.gnani]\nidle_s = 'long'\n")
        box.machine.run("systemctl", "reload", "appliance")
        shown = box.machine.until(StatusText="reload: refused")
        assert "limits" in shown["StatusText"]
        assert (shown["ActiveState"], shown["MainPID"]) == ("active", facts["MainPID"])
        assert understood(asyncio.run(all_said(box.url("ws"), key)))
        box.machine.write("/etc/appliance/appliance.toml", box.configuration + '[log]\nlevel = "debug"\n')
        box.machine.run("systemctl", "reload", "appliance")
        box.machine.wait_for(lambda: "refused" not in box.machine.show()["StatusText"], "a status without the refusal")
