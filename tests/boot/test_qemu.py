"""The service on an emulated arm64 board: its sound card, its lamps and button, and what the unit forbids.

One boot serves all checks, in this order; the last one switches the board off with its button.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from appliance.board.lights import State
from tests.boot.clients import finals, play, rest, sentence, understood, until
from tests.boot.guest_board import ACTIVITY_LINE, HERE, MICROPHONE_LINE, Board, Seen
from tests.boot.guest_image import build
from tests.boot.qemu import Guest
from tests.box import run

pytestmark = pytest.mark.boot

PORT, TLS_PORT = 8080, 8443
READY_S = 180.0
STATUS = "systemctl show appliance --property=StatusText"
INSIDE = f"python3 {HERE}/inside.py"
CGROUP = "/sys/fs/cgroup/system.slice/appliance.service"
MANY = 5
"""Samples of the lamps and the card a second; there are 20 to 100 on an idle machine."""


class Box:
    """The guest as its clients see it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.board = Board(guest)
        self.times: dict[str, float] = {}

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.guest.ports[PORT]}"

    def get(self, path: str, **headers: str) -> dict[str, Any]:
        """An answer as JSON; raises ``OSError`` when there is none, or one of refusal."""
        asked = urllib.request.Request(self.url() + path, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as refused:
            refused.close()
            raise
        return found

    def wait_ready(self, limit_s: float = READY_S) -> None:
        """Until systemd has been told so, and clients are."""
        self.guest.until("systemctl show appliance --property=ActiveState", "ActiveState=active", limit_s)
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/readyz")["ready"]:
                    return
            time.sleep(0.5)
        raise AssertionError(f"not ready in {limit_s:.0f} s\n{self.guest.run('journalctl -b -u appliance | tail -40')}")

    def wait_calm(self) -> None:
        """Ready, and not behind: on a busy host the emulated board needs a while after each stream."""
        self.guest.until(f"{STATUS} | grep -v behind", "ready", 180)

    def hush(self) -> None:
        """Muted, and not behind: all that the board can do is there for a client."""
        if self.board.look(1).ever("card") == {True}:
            self.board.press(0.3)
            self.board.wait_card(is_open=False)
        self.wait_calm()

    def status(self) -> str:
        return self.guest.run("systemctl show appliance --property=StatusText --value")

    def restart(self, configuration: str | None = None) -> None:
        """Start anew, with a changed configuration if there is one; does not wait."""
        if configuration is not None:
            self.guest.run(f"cat >/etc/appliance/appliance.toml <<'END'\n{configuration}\nEND")
        self.guest.run("systemctl restart --no-block appliance")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("guest")
    guest = Guest(build(folder), folder, ports=(PORT, TLS_PORT))
    try:
        guest.wait_until_up()
        box = Box(guest)
        box.wait_ready()
        box.times["power to ready"] = time.monotonic() - guest.began
        yield box
        print("\n" + "".join(f"{what}: {seconds:.1f} s\n" for what, seconds in box.times.items()))
    finally:
        guest.pull_the_plug()
        (folder / "root.ext4").unlink()


@pytest.fixture(autouse=True)
def told(box: Box, request: pytest.FixtureRequest) -> Iterator[None]:
    """What the service said during a test is part of its report."""
    yield
    if box.guest.on:
        print(box.guest.run("journalctl -b -u appliance -o short-precise --no-pager | tail -15", check=False))


@contextlib.asynccontextmanager
async def native(box: Box) -> AsyncIterator[ClientConnection]:
    async with connect(f"{box.url('ws')}/v1/stream?key=k", compression=None, max_queue=None) as client:
        yield client


async def transcribe(box: Box) -> str:
    async with native(box) as client:
        await play(client, sentence())
        await client.send('{"type": "finish"}')
        events, _ = await rest(client)
    return finals(events)


def never_dark(seen: Seen) -> None:
    """Enough was seen, and not once was the card open without its lamp."""
    assert seen.samples >= MANY * seen.seconds, seen
    assert seen.dark_s == [], seen


# the service


def test_it_is_ready_and_has_the_words(box: Box) -> None:
    began = time.monotonic()

    async def first() -> None:
        assert understood(await transcribe(box))

    run(first)
    box.times["a transcription of 4 s of audio, paced"] = time.monotonic() - began
    box.times["kernel and agent"] = box.guest.booted_s or 0.0
    assert box.status().startswith("ready"), box.status()
    assert box.guest.run("systemctl --failed --no-legend") == ""
    assert "aarch64" in box.guest.run("uname -m")


def test_a_clouds_client_has_the_words(box: Box) -> None:
    async def assemblyai() -> None:
        headers = {"authorization": "key"}
        async with connect(f"{box.url('ws')}/v3/ws?sample_rate=16000", additional_headers=headers) as client:
            await play(client, sentence())
            await client.send('{"type": "Terminate"}')
            events, _ = await rest(client)
        turns = [event["transcript"] for event in events if event["type"] == "Turn" and event["end_of_turn"]]
        assert understood(" ".join(turns)), turns

    run(assemblyai)


# lamps, as long as there is no card


def test_lamps_are_ours_and_say_ready(box: Box) -> None:
    box.wait_calm()
    lines = box.guest.run("grep appliance /sys/kernel/debug/gpio")
    assert all(f"gpio-{number} " in lines for number in (17, 22, 23, 27)), lines
    assert State.READY in box.board.look(20).shown()  # between two looks for the card that is not there


def test_lamps_say_that_a_client_is_connected(box: Box) -> None:
    box.wait_calm()

    async def work() -> None:
        async with native(box):
            seen = await asyncio.to_thread(box.board.look)
        assert seen.shows() is State.CLIENT, seen
        assert seen.lit(ACTIVITY_LINE) > 0.9

    run(work)


def test_lamps_say_that_there_is_no_model(box: Box) -> None:
    before = box.guest.run("cat /etc/appliance/appliance.toml")
    box.restart(before.replace("kiosk-words", "no-such-model"))
    try:
        box.guest.until(STATUS, "no-such-model", READY_S)
        assert box.board.look(8).shows() is State.NO_MODEL
    finally:
        box.restart(before)
    box.wait_ready()
    assert State.READY in box.board.look(20).shown()  # between two looks for the card that is not there


def test_lamps_say_that_something_is_wrong(box: Box) -> None:
    """The disk is full."""
    box.guest.run("dd if=/dev/zero of=/var/full bs=1M 2>/dev/null; true", 300)
    try:
        box.guest.until(STATUS, "nearly full", 60)
        assert box.board.look().shows() is State.FAULT
    finally:
        box.guest.run("rm /var/full")
    box.guest.until(f"{STATUS} | grep -v 'nearly full'", "ready", 60)


def test_nobody_is_let_in_while_it_is_measured(box: Box) -> None:
    before = box.guest.run("cat /etc/appliance/appliance.toml")
    box.restart(before.replace("calibrate = false", "calibrate = true"))
    try:
        box.guest.until(STATUS, "measuring", READY_S)
        began = time.monotonic()
        with pytest.raises(urllib.error.HTTPError) as refused:
            box.get("/readyz")
        assert refused.value.code == 503
        assert box.board.look(5).shows() is State.BOOTING
        box.wait_ready(2 * READY_S)
        box.times["measuring kiosk words"] = time.monotonic() - began
        assert "kiosk-words" in box.guest.run("cat /var/lib/appliance/calibration.json")
    finally:
        box.restart(before)
    box.wait_ready()


# the card


def test_the_card_is_taken_at_once_when_it_is_plugged_in(box: Box) -> None:
    """By the udev rule; without it the next try comes after up to half a minute."""
    watching = box.board.watch(20)
    box.board.plug_in()
    box.times["card plugged in to card open"] = box.board.wait_card(is_open=True, limit_s=15)
    seen = watching.result(90)
    never_dark(seen)
    assert seen.lit(MICROPHONE_LINE) > 0.2
    assert "Sent signal SIGUSR1" in box.guest.run("journalctl -b -u appliance")


def test_the_room_is_heard(box: Box) -> None:
    """Also the lamps say so. Emulated, the first seconds of the card may drop audio: there are three tries."""
    box.wait_calm()

    async def work() -> None:
        texts = []
        async with connect(f"{box.url('ws')}/v1/microphones/desk?key=k") as feed:
            await until(feed, "microphone", state="ready")
            for _ in range(3):
                watching = box.board.watch(8)
                await asyncio.to_thread(box.board.speak)
                texts.append((await until(feed, "final"))["text"])
                seen = await asyncio.wrap_future(watching)
                never_dark(seen)
                if understood(texts[-1]):
                    break
        assert understood(texts[-1]), texts
        assert seen.rises(ACTIVITY_LINE) > 0.2, seen
        assert {True, False} == seen.ever(ACTIVITY_LINE)

    run(work, 180)


def test_lamps_say_that_speech_is_heard_and_written(box: Box) -> None:
    """On the activity lamp: the status lamp has more important things to say on a board as slow as an emulated one."""
    box.wait_calm()
    watching = box.board.watch(15)
    for _ in range(2):
        box.board.speak()
    shown = watching.result(90).shown(ACTIVITY_LINE, 1.0)
    assert shown & {State.SPEECH, State.TRANSCRIBING}, shown


def test_lamps_say_that_the_microphone_is_live(box: Box) -> None:
    box.wait_calm()
    time.sleep(2.0)
    seen = box.board.look()
    assert seen.shows() is State.MICROPHONE, seen
    assert seen.ever(MICROPHONE_LINE) == {True}


def test_lamps_say_that_it_is_too_much(box: Box) -> None:
    """Others take the processor: the microphone's words come late, and then in time again."""
    box.guest.run("systemd-run -q --unit=hog sh -c 'for i in 1 2 3 4; do while :; do :; done & done; wait'")
    try:
        speaking = box.guest.start(f"for i in 1 2 3 4 5 6; do aplay -q -D plughw:0,0 {HERE}/sentence.wav; done", 120)
        box.guest.until(STATUS, "falling behind", 60)
        seen = box.board.look(5)
    finally:
        box.guest.run("systemctl stop hog")
    speaking.result(150)
    assert seen.shows() is State.OVERLOADED, seen
    box.wait_calm()


DEEDS = {
    "pulled out and plugged in": "cd /sys/bus/platform/drivers/snd_aloop; "
    "echo snd_aloop.0 >unbind; sleep 4; echo snd_aloop.0 >bind",
    "the reader is killed": "for i in /proc/[0-9]*; do grep -qsa 'python.*appliance.capture.[r]eader' $i/cmdline "
    "&& kill -9 ${i#/proc/}; done; true",
    "the service is started anew": "systemctl restart appliance",
    "the daemon is killed": "kill -9 $(systemctl show appliance --property=MainPID --value)",
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_no_card_is_open_in_the_dark(box: Box, deed: str) -> None:
    watching = box.board.watch(40)
    time.sleep(2.0)
    box.guest.run(deed)
    seen = watching.result(150)
    box.wait_ready()
    box.board.wait_card(is_open=True)
    assert {True, False} == seen.ever("card"), seen
    never_dark(seen)


# the button


def test_a_short_press_closes_the_card_and_another_opens_it(box: Box) -> None:
    watching = box.board.watch(12)
    time.sleep(2.0)
    box.board.press(0.3)
    box.times["button to card closed"] = box.board.wait_card(is_open=False)
    seen = watching.result(60)
    never_dark(seen)
    muted = box.board.look(8)
    assert muted.ever("card") == {False}
    assert muted.shows(MICROPHONE_LINE) is State.MUTED, muted
    assert box.get("/healthz", authorization="k")["ready"]
    watching = box.board.watch(15)
    box.board.press(0.3)
    box.board.wait_card(is_open=True)
    never_dark(watching.result(60))


# what the unit forbids, of whoever is in its cgroup


def test_devices_outside_the_list_cannot_be_opened(box: Box) -> None:
    allowed = {"/dev/snd/controlC0", "/dev/gpiochip0", "/dev/null", "/dev/urandom"}
    forbidden = {"/dev/vda", "/dev/mem", "/dev/kmsg", "/dev/net/tun"}
    named = " ".join(allowed | forbidden)
    told = dict(line.split(" ", 1) for line in box.guest.run(f"{INSIDE} open {named}").splitlines())
    assert told == dict.fromkeys(allowed, "ok") | dict.fromkeys(forbidden, "EPERM")
    assert box.guest.run("head -c 4 /dev/vda | wc -c") == "4"


def test_nothing_reaches_the_internet(box: Box) -> None:
    """A server of the host is the local network's 10.0.2.2 for the guest."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = f"10.0.2.2:{server.getsockname()[1]}"
        told = box.guest.run(
            f"{INSIDE} connect {near} 127.0.0.1:{PORT}; {INSIDE} send 10.0.2.2:9 8.8.8.8:53 1.1.1.1:443"
        )
    assert told.splitlines() == [
        f"{near} ok",
        f"127.0.0.1:{PORT} ok",
        "10.0.2.2:9 ok",
        "8.8.8.8:53 EPERM",
        "1.1.1.1:443 EPERM",
    ]
    assert box.guest.run("echo >/dev/udp/8.8.8.8/53 && echo sent") == "sent"  # who is not in the cgroup


def test_who_takes_too_much_memory_is_stopped_and_the_rest_goes_on(box: Box) -> None:
    def events() -> dict[str, int]:
        told = box.guest.run(f"cat {CGROUP}/memory.events")
        return {name: int(count) for name, count in map(str.split, told.splitlines())}

    total = int(box.guest.run("awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo"))
    assert int(box.guest.run(f"cat {CGROUP}/memory.max")) / total == pytest.approx(0.85, abs=0.03)
    before, pid = events()["oom_kill"], box.guest.run("systemctl show appliance --property=MainPID --value")
    box.guest.start(f"{INSIDE} hog 2000", 600)
    # a worker may go before the hog: the kernel takes the one that is worth most to it
    box.guest.until(
        f'awk \'/^oom_kill / {{ print ($2 > {before}) ? "some" : "none" }}\' {CGROUP}/memory.events', "some", 120
    )
    box.wait_ready()
    assert box.guest.run("systemctl show appliance --property=MainPID --value") == pid
    assert understood(asyncio.run(transcribe(box)))


# the clock


def test_a_jump_of_the_clock_changes_nothing_that_is_heard(box: Box) -> None:
    """A year ahead in the middle of a stream, and back; then a client that comes while it is ahead."""
    untrusted = ssl.create_default_context()
    untrusted.check_hostname, untrusted.verify_mode = False, ssl.CERT_NONE

    async def work() -> None:
        async with native(box) as client:
            await play(client, sentence())
            await asyncio.to_thread(box.guest.run, "date -s '+1 year'")
            await play(client, sentence())
            await asyncio.to_thread(box.guest.run, "date -s '-1 year'")
            await play(client, sentence())
            await client.send('{"type": "finish"}')
            events, code = await rest(client)
        texts = [event["text"] for event in events if event["type"] == "final"]
        assert len(texts) == 3, events
        assert all(understood(text) for text in texts), texts
        assert code == 1000

    run(work, 180)
    assert box.status().startswith("ready"), box.status()
    box.guest.run("date -s '+1 year'")
    try:
        with contextlib.closing(
            http.client.HTTPSConnection("127.0.0.1", box.guest.ports[TLS_PORT], context=untrusted)
        ) as secure:
            secure.request("GET", "/readyz")
            assert secure.getresponse().status == 200
        time.sleep(15)
        assert box.status().startswith("ready"), box.status()
    finally:
        box.guest.run("date -s '-1 year'")
    assert box.guest.run("systemctl show appliance --property=NRestarts --value") in ("0", "1", "2")


def test_whisper_writes_the_words_without_generated_code(box: Box) -> None:
    """The unit forbids generated code on arm64. The emulated board needs seconds for each decode."""
    before = box.guest.run("cat /etc/appliance/appliance.toml")
    box.restart(before.replace("kiosk-words", "whisper-tiny-en"))

    async def work() -> None:
        async with native(box) as client:
            await play(client, sentence())
            began = time.monotonic()
            await client.send('{"type": "finish"}')
            events, _ = await rest(client, 240)
            box.times["whisper, end of audio to the last word"] = time.monotonic() - began
            assert understood(finals(events)), events

    try:
        box.wait_ready(2 * READY_S)
        assert box.guest.run("systemctl show appliance --property=MemoryDenyWriteExecute --value") == "yes"
        box.hush()
        run(work, 300)
    finally:
        box.restart(before)
    box.wait_ready()


# the end


def test_the_self_test_passes_and_leaves_the_daemons_folder_alone(box: Box) -> None:
    """Else the button below has nowhere to leave its file."""
    box.hush()
    box.guest.run("systemctl start appliance-selftest", 180)
    print(box.guest.run("journalctl -b -u appliance-selftest -o cat"))
    assert box.guest.run("systemctl show appliance-selftest --property=Result --value") == "success"
    assert box.guest.run("test ! -L /run/appliance && ls /run/appliance/selftest.key")


def test_a_long_press_switches_the_board_off_and_clients_have_their_words(box: Box) -> None:
    box.hush()

    async def work() -> None:
        async with native(box) as client:
            await play(client, sentence(after_s=0.3))
            began = time.monotonic()
            box.board.press(3.5)
            events, code = await rest(client)
            assert understood(finals(events)), events
            assert code in (1000, 1012)
            await asyncio.to_thread(box.guest.wait_off)
            box.times["long press to power off"] = time.monotonic() - began

    run(work, 240)
