"""Names and addresses by themselves; then boxes that share a network, each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from zeroconf import ServiceInfo, service_type_name

from appliance.server.discovery import TYPE, Box, box
from appliance.server.naming import candidates, hosts, interfaces, label, own_id, reachable
from tests.server.mdns import announcement

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


# names and addresses


def test_the_service_type_is_one():
    assert service_type_name(f"kitchen.{TYPE}", strict=True) == TYPE


def test_a_name_that_is_taken_gets_the_id_and_then_something_new_each_time():
    first, second, *others = itertools.islice(candidates("kitchen", "0a1b2c"), 5)
    assert (first, second) == ("kitchen", "kitchen-0a1b2c")
    assert len({first, second, *others}) == 5
    assert all(other.startswith("kitchen-") for other in others)


def test_no_name_is_too_long_and_none_is_cut_inside_of_a_character():
    for name in itertools.islice(candidates("ü" * 60, "0a1b2c"), 4):
        assert 60 < len(name.encode()) <= 63
        assert name.startswith("üü")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("kitchen", "kitchen"),
        ("Kitchen.example.org", "kitchen"),
        ("my_box", "my-box"),
        ("Küche", "k-che"),
        ("localhost", "appliance"),
        ("", "appliance"),
        ("---", "appliance"),
    ],
)
def test_a_host_s_name_becomes_a_label(host, found):
    assert label(host) == found


def test_the_id_is_always_the_same_and_does_not_tell_the_machine_s():
    machine_id = "0123456789abcdef0123456789abcdef"
    assert own_id(machine_id) == own_id(machine_id) != own_id("other")
    assert len(own_id()) == 6
    assert own_id(machine_id) not in machine_id


def test_a_certificate_can_carry_both_names():
    assert hosts("Kitchen", "0a1b2c") == ("kitchen.local", "kitchen-0a1b2c.local")


OWN = ("kitchen", "localhost", "127.0.0.1", "::1", "fd00::7", "192.168.7.9", "10.0.0.2")


@pytest.mark.parametrize(
    ("bound", "addresses"),
    [
        ("0.0.0.0", ("10.0.0.2", "192.168.7.9")),
        ("::", ("10.0.0.2", "192.168.7.9", "fd00::7")),
        ("192.168.7.9", ("192.168.7.9",)),
        ("192.168.7.200", ()),
        ("127.0.0.1", ()),
    ],
)
def test_only_what_is_listened_on_is_told(bound, addresses):
    assert reachable(OWN, bound) == addresses


def test_ipv6_is_spoken_where_there_is_nothing_else():
    assert interfaces(["10.0.0.2", "fd00::7"]) == ["10.0.0.2"]
    assert interfaces(["fd00::7"]) == ["fd00::7"]


# what is told, and read


def served(**other: Any) -> ServiceInfo:
    told = announcement(**other)
    return ServiceInfo(
        TYPE, f"{told.name}.{TYPE}", port=told.port, properties=told.txt, server="kitchen.local.",
        parsed_addresses=["10.0.0.2", "fd00::7"],
    )  # fmt: skip


def test_a_box_is_read_as_it_was_announced():
    found = box(served(name="Kitchen box"))
    assert found == Box(
        name="Kitchen box",
        host="kitchen.local",
        addresses=("10.0.0.2", "fd00::7"),
        port=8080,
        tls_port=8081,
        version="1.2.3",
        auth="keys",
        languages=("en", "de"),
        id="0a1b2c",
    )
    assert (found.url, found.tls_url) == ("http://kitchen.local:8080", "https://kitchen.local:8081")


def test_without_tls_there_is_no_such_url():
    found = box(served(tls_port=None))
    assert found.tls_port is None
    assert found.tls_url is None


def test_every_dialect_fits_into_a_record_that_small_devices_take():
    from appliance.dialects import DIALECTS

    service = served(paths={each.name: each.paths[0] for each in DIALECTS}, languages=tuple("abcdefghij"))
    assert len(service.text) <= 400  # RFC 6763, 6.2


def test_what_comes_from_the_network_cannot_write_to_the_terminal():
    found = box(served(name="a\x9b2Jb", version="\x1b]0;x\x07", tls_port="8081; rm", languages=("en\n", "")))
    assert found.name == "a2Jb"
    assert found.version == "]0;x"
    assert found.tls_port is None
    assert found.languages == ("en",)


# on a network


class Told:
    """A process whose lines of JSON can be waited for."""

    def __init__(self, space: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", space, sys.executable, "-m", "tests.server.mdns", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._news.put(line)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message like this."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._news.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError("".join(["it was not told; but:\n", *self.lines])) from None
            self.lines.append(line)
            if line.startswith("{") and wanted(message := json.loads(line)):
                return message

    def published(self) -> list[str]:
        published: list[str] = self.until(lambda said: bool(said.get("published")))["published"]
        return published

    def seen(self, **facts: Any) -> dict[str, Any]:
        return self.until(lambda said: facts.items() <= said.items())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Lan:
    """Machines 1, 2 and 3 on one bridge."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._running: list[Told] = []
        ip("netns", "add", f"{prefix}-hub")
        ip("-n", f"{prefix}-hub", "link", "add", "hub", "type", "bridge", "mcast_snooping", "0")
        ip("-n", f"{prefix}-hub", "link", "set", "hub", "up")
        for machine in (1, 2, 3):
            space = self.space(machine)
            ip("netns", "add", space)
            ip("link", "add", "lan", "netns", space, "type", "veth", "peer", f"to-{machine}", "netns", f"{prefix}-hub")
            ip("-n", f"{prefix}-hub", "link", "set", "dev", f"to-{machine}", "master", "hub", "up")
            ip("-n", space, "link", "set", "lan", "up")
            self.address(machine, "add", f"10.77.0.{machine}")

    def space(self, machine: int) -> str:
        return f"{self.prefix}-{machine}"

    def address(self, machine: int, change: str, address: str) -> None:
        ip("-n", self.space(machine), "addr", change, f"{address}/24", "dev", "lan")

    def run(self, machine: int, *arguments: str) -> Told:
        self._running.append(Told(self.space(machine), *arguments))
        return self._running[-1]

    def box(self, machine: int) -> Told:
        """All boxes are called the same."""
        return self.run(machine, "announce", "kitchen", f"{machine}" * 6, f"80{machine}0")

    def watcher(self) -> Told:
        watcher = self.run(3, "watch")
        watcher.seen(event="watching")
        return watcher

    def close(self) -> None:
        for each in self._running:
            each.stop()
        for name in (f"{self.prefix}-hub", *map(self.space, (1, 2, 3))):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


@pytest.fixture
def lan() -> Iterator[Lan]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    prefix = f"mdns{os.getpid()}"
    try:
        ip("netns", "add", f"{prefix}-try")
        ip("netns", "del", f"{prefix}-try")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    lan = Lan(prefix)
    try:
        yield lan
    finally:
        lan.close()


def test_two_boxes_of_the_same_name_are_told_apart_come_and_go(lan):
    watcher = lan.watcher()
    first = lan.box(1)
    assert first.published() == ["kitchen", "kitchen.local"]
    second = lan.box(2)
    assert second.published() == ["kitchen-222222", "kitchen-222222.local"]
    seen = watcher.seen(event="Added", name="kitchen")
    assert (seen["host"], seen["port"], seen["addresses"]) == ("kitchen.local", 8010, ["10.77.0.1"])
    seen = watcher.seen(event="Added", name="kitchen-222222")
    assert (seen["host"], seen["port"], seen["addresses"]) == ("kitchen-222222.local", 8020, ["10.77.0.2"])

    lan.address(1, "del", "10.77.0.1")
    lan.address(1, "add", "10.77.0.50")
    assert first.published() == ["kitchen", "kitchen.local"]
    assert watcher.seen(event="Updated", name="kitchen")["addresses"] == ["10.77.0.50"]

    second.stop()
    watcher.seen(event="Removed", name="kitchen-222222")


def test_boxes_of_the_same_name_that_start_in_the_same_moment_end_up_with_different_ones(lan):
    lan.box(1), lan.box(2)  # as after a power cut
    listed: list[dict[str, Any]] = []
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        listed = found_from(lan)
        if len(listed) == 2 and all(len(each["addresses"]) == 1 for each in listed):
            break
    by_address = {each["addresses"][0]: each for each in listed}
    assert {address: each["url"][-5:] for address, each in by_address.items()} == {
        "10.77.0.1": ":8010",
        "10.77.0.2": ":8020",
    }
    assert len({each["name"] for each in listed}) == 2
    assert len({each["host"] for each in listed}) == 2


def test_two_on_one_machine_share_the_port_of_mdns(lan):
    assert lan.box(1).published() == ["kitchen", "kitchen.local"]
    again = lan.run(1, "announce", "kitchen", "999999", "8090")
    assert again.published() == ["kitchen-999999", "kitchen-999999.local"]
    assert {each["name"]: each["port"] for each in found_from(lan)} == {"kitchen": 8010, "kitchen-999999": 8090}


def test_a_network_that_comes_later_is_waited_for(lan):
    lan.address(1, "del", "10.77.0.1")
    waiting = lan.box(1)
    waiting.until(lambda said: "there is no network" in said.get("log", ""))
    lan.address(1, "add", "10.77.0.1")
    assert waiting.published() == ["kitchen", "kitchen.local"]


def found_from(lan: Lan) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["ip", "netns", "exec", lan.space(3), sys.executable, "-c", "from appliance.cli.find import find; find()",
         "--json", "--seconds", "1"], cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == (0 if listed else 1), done.stderr
    return listed
