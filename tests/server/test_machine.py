import socket

import pytest

from appliance.server import machine
from appliance.server.machine import addresses, canonical, names

TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 192.168.7.0/24 2 0 2
        +-- 192.168.7.0/28 2 0 2
           |-- 192.168.7.0
              /24 link UNICAST
           |-- 192.168.7.9
              /32 host LOCAL
        |-- 192.168.7.255
           /32 link BROADCAST
     |-- 169.254.3.4
        /32 host LOCAL
Local:
           |-- 192.168.7.9
              /32 host LOCAL
"""
FLAGS = {"permanent": "80", "dynamic": "00", "temporary": "01", "deprecated": "20", "tentative": "40", "taken": "c8"}


def line(address: str, flags: str) -> str:
    return f"{socket.inet_pton(socket.AF_INET6, address).hex()} 02 40 00 {flags:>2}     eth0\n"


def test_the_kernel_s_tables_give_this_machine_s_addresses_only():
    assert addresses(TRIE, "") == {"192.168.7.9", "169.254.3.4"}
    assert addresses("", "") == set()


@pytest.mark.parametrize(
    ("state", "lasting"), [(state, state in ("permanent", "dynamic", "deprecated")) for state in FLAGS]
)
def test_addresses_that_hold_for_a_while_are_left_out(state, lasting):
    assert (addresses("", line("2001:db8::7", FLAGS[state])) == {"2001:db8::7"}) is lasting


def test_addresses_of_one_link_are_left_out():
    assert addresses("", line("fe80::1", "80") + line("fd00::1", "80")) == {"fd00::1"}


@pytest.mark.parametrize(
    ("hostname", "own"),
    [
        ("box", {"box", "box.local"}),
        ("Box.Example.ORG.", {"box.example.org", "box", "box.local"}),
        ("my_box", {"my_box", "my_box.local"}),
        ("", set()),
        ("(none)", set()),
        ("büro", set()),
        ("x" * 64, set()),
    ],
)
def test_the_host_s_name_counts_as_far_as_a_certificate_can_carry_it(monkeypatch, hostname, own):
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    monkeypatch.setattr(machine, "addresses", lambda trie, if_inet6: {"192.168.7.9"})
    assert names() == own | {"localhost", "127.0.0.1", "::1", "192.168.7.9"}


def test_this_machine_reads_its_own_tables():
    assert {"127.0.0.1", "localhost"} <= names()
    assert "127.0.0.1" in addresses(machine.TRIE.read_text(), "")


def test_without_a_network_there_is_loopback(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "TRIE", tmp_path / "absent")
    monkeypatch.setattr(machine, "IF_INET6", tmp_path / "absent")
    assert {"127.0.0.1", "::1"} <= names()


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("Speech.Example.org", "speech.example.org"),
        ("*.Example.org", "*.example.org"),
        ("10.0.0.1", "10.0.0.1"),
        ("FD00::0:3", "fd00::3"),
        ("xn--bro-hoa.example", "xn--bro-hoa.example"),
    ],
)
def test_names_are_written_in_one_way(given, written):
    assert canonical(given) == written
    assert written in names([given])


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a b",
        "a..b",
        "büro.example",
        "10.0.0.1/24",
        "1:2",
        "https://box",
        "-a",
        "*",
        ".".join(["a" * 63] * 4) + ".b",
    ],
)
def test_what_is_no_name_is_named(bad):
    with pytest.raises(ValueError, match="neither the name of a host") as error:
        names([bad])
    assert repr(bad) in str(error.value)
