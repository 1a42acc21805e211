"""The image for the card on an emulated Raspberry Pi 3B: what its owner does, in this order.

One boot serves most checks. ``APPLIANCE_IMAGE`` names an image that was built before; else one is built.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.boot.card import PORT, SIZE_MIB, Card, Running, ssh_key
from tests.boot.clients import all_said, recorded, understood, until
from tests.boot.root import CHECKOUT
from tests.box import run

pytestmark = pytest.mark.boot

TOOLS = {"qemu-system-aarch64": "qemu-system-arm", "mcopy": "mtools", "mksquashfs": "squashfs-tools", "flite": "flite"}
SETTINGS = """\
# as an owner writes it, with one mistake
name = kitchen
wfi = My network
microphone = Loopback
model = kiosk-words
lights = board
timezone = Asia/Kolkata
ssh-key = {key}
"""
QUICK = "[scheduling]\ncalibrate = false\nstreams = 2\n"
"""What an emulated board costs says nothing, and takes minutes to measure."""
LIGHTS = "grep appliance /sys/kernel/debug/gpio"


def built() -> Path:
    """The image; skips where it cannot be made."""
    if named := os.environ.get("APPLIANCE_IMAGE"):
        return Path(named)
    if missing := [package for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        pytest.skip(f"the image needs the Debian packages {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("making the image needs root")
    out = CHECKOUT / "build" / "test.img"
    subprocess.run([CHECKOUT / "image" / "card", "--development", out], check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.fixture(scope="module")
def image() -> Path:
    return built()


class Pi:
    """The board while it runs, and its card."""

    def __init__(self, card: Card, running: Running) -> None:
        self.card = card
        self.running = running
        self.times: dict[str, float] = {}
        self.key = ""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.running.ports[PORT]}"


@pytest.fixture(scope="module")
def pi(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    folder = tmp_path_factory.mktemp("pi")
    owner = ssh_key(folder)
    card = Card(image, folder)
    card.write("appliance.txt", SETTINGS.format(key=owner.public))
    card.write("appliance.toml", QUICK)
    pi = Pi(card, Running(card, "raspi3b", folder, owner))
    try:
        pi.times["power to log in"] = pi.running.wait_up()
        pi.running.wait_ready()
        pi.times["power to ready, first boot"] = time.monotonic() - pi.running.began
        yield pi
        print("\n" + "".join(f"{what}: {seconds:.0f} s\n" for what, seconds in pi.times.items()))
    finally:
        pi.running.pull_the_plug()
        card.path.unlink()


# what is beside the image


def test_the_manifest_for_the_imager_fits_the_image(image: Path) -> None:
    entry = json.loads(image.with_suffix(".rpi-imager-manifest").read_text())["os_list"][0]
    packed = image.with_name(f"{image.name}.xz")
    assert entry["extract_size"] == image.stat().st_size
    assert entry["image_download_size"] == packed.stat().st_size
    digest = subprocess.run(["sha256sum", image], check=True, capture_output=True, text=True).stdout.split()[0]
    assert entry["extract_sha256"] == digest
    with lzma.open(packed) as unpacked, image.open("rb") as plain:
        assert unpacked.read(1 << 20) == plain.read(1 << 20)
    assert entry["init_format"] == "none"
    assert {"pi3-64bit", "pi4-64bit", "pi5-64bit"} == set(entry["devices"])


def test_the_bill_of_materials_has_debian_and_python(image: Path) -> None:
    bill = json.loads(image.with_name(f"{image.name}.cdx.json").read_text())
    kinds = {part["purl"].split("/")[0] for part in bill["components"] if "purl" in part}
    assert kinds == {"pkg:deb", "pkg:pypi"}
    assert len(bill["components"]) > 200


def test_no_password_and_no_key_of_anybody_is_in_the_image(image: Path, tmp_path: Path) -> None:
    """What opens doors is made by the box, or given by its owner."""
    root = tmp_path / "root.squashfs"
    table = json.loads(subprocess.run(["sfdisk", "--json", image], check=True, capture_output=True).stdout)
    part = table["partitiontable"]["partitions"][1]
    with image.open("rb") as source, root.open("wb") as copy:
        source.seek(part["start"] * 512)
        copy.write(source.read(part["size"] * 512))
    shadow = subprocess.run(
        ["unsquashfs", "-cat", root, "etc/shadow"], check=True, capture_output=True, text=True
    ).stdout
    assert shadow
    assert {line.split(":")[1] for line in shadow.splitlines()} <= {"*", "!", "!*", "!!"}
    names = subprocess.run(["unsquashfs", "-ls", root], check=True, capture_output=True, text=True).stdout
    for secret in ("/ssh_host_", "/authorized_keys", "/keys.json", "systemd/random-seed\n"):
        assert secret not in names


# the first boot


def test_it_is_ready_and_is_what_the_owner_called_it(pi: Pi) -> None:
    assert pi.running.run("hostname") == "kitchen"
    assert pi.running.run("date +%Z") == "IST"
    assert pi.running.run("systemctl --failed --no-legend --plain") == ""
    assert "Raspberry Pi 3" in pi.running.run("tr -d '\\0' </proc/device-tree/model")


def test_the_mistake_is_told_on_the_card(pi: Pi) -> None:
    told = pi.card.read("appliance-errors.txt")
    assert told is not None
    assert "line 3" in told
    assert "wifi" in told


def test_the_first_key_is_on_the_card_and_on_the_console(pi: Pi) -> None:
    told = pi.card.read("appliance-key.txt")
    assert told is not None
    found = re.search(r"sak_[\w-]{32}", told)
    assert found
    pi.key = found[0]
    assert "kitchen.local" in told
    assert any(pi.key in console.read_text(errors="replace") for console in pi.running.consoles), pi.running.said()
    assert pi.key not in pi.running.run("journalctl -b --no-pager")


def test_a_client_has_the_words_with_that_key(pi: Pi) -> None:
    began = time.monotonic()

    async def speak() -> None:
        assert understood(await all_said(pi.url, pi.key))

    run(speak, 240)
    pi.times["first transcription, 4 s of audio"] = time.monotonic() - began


def test_the_root_cannot_be_written_to(pi: Pi) -> None:
    assert pi.running.run("findmnt -no FSTYPE /") == "overlay"
    assert pi.running.run("findmnt -no FSTYPE /media/root-ro") == "squashfs"
    assert "ead-only" in pi.running.run("touch /media/root-ro/x", check=False)
    pi.running.run("mount -o remount,rw /media/root-ro", check=False)
    assert "ead-only" in pi.running.run("touch /media/root-ro/x", check=False)
    assert "ro" in pi.running.run("findmnt -no OPTIONS /boot/firmware").split(",")


def test_the_data_partition_has_grown_to_the_card(pi: Pi) -> None:
    assert int(pi.running.run("df --block-size=1M --output=size /data | tail -1")) > SIZE_MIB / 2
    mounted = pi.running.run(
        'findmnt -rno MAJ:MIN,TARGET | grep "^$(findmnt -rno MAJ:MIN /data) " | cut -d" " -f2 | sort'
    )
    assert mounted.split() == [
        "/data", "/var/lib/appliance-update", "/var/lib/private", "/var/lib/systemd/timesync",
    ]  # fmt: skip


def test_a_lamp_is_lit_on_the_pi_s_own_controller(pi: Pi) -> None:
    """As the board's profile has it; read back from pinctrl-bcm2835."""
    lines = pi.running.run(LIGHTS)
    assert re.search(r"GPIO22 .*out", lines), lines
    assert "pinctrl-bcm2835" in pi.running.run("cat /sys/kernel/debug/gpio")
    seen = {line for _ in range(12) for line in re.findall(r"GPIO22\s.*?out (hi|lo)", pi.running.run(LIGHTS))}
    assert "hi" in seen


def test_the_room_is_heard(pi: Pi, tmp_path: Path) -> None:
    """A card is plugged in, its lamp is lit, and what is said there is written. Emulated, some of it may drop."""
    pi.running.put(recorded(tmp_path).read_bytes(), "/tmp/sentence.wav")
    pi.running.run("modprobe snd-aloop index=0 pcm_substreams=1")

    async def hear() -> str:
        async with connect(f"{pi.url}/v1/microphones/default?key={pi.key}", open_timeout=60) as feed:
            await until(feed, "microphone", 120, state="ready")
            texts: list[str] = []
            for _ in range(4):
                with pi.running.start("aplay -q -D plughw:0,1 /tmp/sentence.wav"), contextlib.suppress(TimeoutError):
                    texts.append((await until(feed, "final", 60))["text"])
                    if understood(texts[-1]):
                        return texts[-1]
        said = pi.running.run("journalctl -b -u appliance -o cat | tail -20")
        raise AssertionError(f"{texts}\n{said}")

    run(hear, 600)
    assert re.search(r"GPIO27 .*out hi", pi.running.run(LIGHTS))


# the second boot


def test_after_a_power_cut_all_is_as_it_was(pi: Pi, tmp_path: Path) -> None:
    """Keys last, the mended mistake is gone from the card, and no other key was made."""
    pi.running.pull_the_plug()
    text = pi.card.read("appliance.txt")
    assert text is not None
    pi.card.write("appliance.txt", text.replace("wfi = My network\n", "").replace("kitchen", "hall"))
    again = Running(pi.card, "raspi3b", tmp_path / "again", pi.running.key)
    pi.running = again
    pi.times["power to log in, second boot"] = again.wait_up()
    again.wait_ready()
    pi.times["power to ready, second boot"] = time.monotonic() - again.began
    assert again.run("hostname") == "hall"
    assert pi.card.read("appliance-errors.txt") is None
    assert pi.key in (pi.card.read("appliance-key.txt") or "")

    async def speak() -> None:
        assert understood(await all_said(pi.url, pi.key))

    run(speak, 240)
    with urllib.request.urlopen(f"http{pi.url[2:]}/healthz", timeout=60) as answer:
        assert json.load(answer)["ready"] is True
