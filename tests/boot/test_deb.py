"""The package: the same bytes from the same checkout; installed, used, upgraded, removed and purged.

Containers without any network, whose Debian has what the package depends on and no more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import nspawn
from tests.boot.clients import understood
from tests.boot.root import CHECKOUT, bare

pytestmark = pytest.mark.boot

PACKAGE = "speech-appliance"
SUITES = {"bookworm": "python3.11", "trixie": "python3.13"}
"""Debian 12 and 13, and the Python of each."""
SAY = """
import asyncio, sys
from tests.boot.clients import all_said
print(asyncio.run(all_said("ws://127.0.0.1:8080", sys.argv[1])))
"""


def build(out: Path, arch: str = "amd64") -> Path:
    environment = os.environ | {"COMPRESSION": "none"}
    subprocess.run([CHECKOUT / "image" / "deb", arch, out], check=True, env=environment, stdout=subprocess.DEVNULL)
    return out


def later(deb: Path, out: Path) -> Path:
    """The same as a newer version."""
    folder = out.with_suffix("")
    subprocess.run(["dpkg-deb", "--raw-extract", deb, folder], check=True)
    control = folder / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", lambda found: f"{found[0]}+later", control.read_text()))
    release = folder / "usr/lib/appliance/release.json"
    told = json.loads(release.read_text())
    release.write_text(json.dumps(told | {"version": f"{told['version']}+later", "built": told["built"] + 1}))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, out], check=True)
    shutil.rmtree(folder)
    return out


def members(deb: Path) -> list[tarfile.TarInfo]:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as files:
            return list(files)


def field(deb: Path, name: str) -> str:
    told = subprocess.run(["dpkg-deb", "--field", deb, name], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb") / f"{PACKAGE}.deb")


def test_the_same_checkout_gives_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "again.deb").read_bytes() == deb.read_bytes()


def test_it_holds_nothing_of_the_machine_it_was_made_on(deb: Path) -> None:
    found = members(deb)
    assert {(file.uid, file.gid) for file in found} == {(0, 0)}
    assert all(file.isreg() or file.isdir() or file.issym() for file in found)
    assert not [file.name for file in found if file.mode & 0o7022 and not file.issym()]
    assert not [file.name for file in found if "__pycache__" in file.name or file.name.endswith(".pyc")]
    assert max(file.mtime for file in found) <= json.loads(release(deb))["built"]
    assert str(CHECKOUT) not in subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True
    ).stdout.decode("latin-1")


def release(deb: Path) -> str:
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
    unpacked = subprocess.run(
        ["tar", "-xO", "./usr/lib/appliance/release.json"], check=True, input=archive, capture_output=True
    )
    return unpacked.stdout.decode()


def test_each_python_has_its_modules(deb: Path) -> None:
    """All extension modules of one Python are there for the others."""
    tags: dict[str, set[str]] = {}
    for file in members(deb):
        if found := re.fullmatch(r"(.*)\.(?:cpython-(\d+)-x86_64-linux-gnu|abi3)\.so", file.name):
            tags.setdefault(found[2] or "abi3", set()).add(found[1])
    assert tags.keys() == {"311", "312", "313", "abi3"}
    modules = tags["311"] | tags["312"] | tags["313"]
    lacking = {tag: {Path(each).name for each in modules - tags[tag] - tags["abi3"]} for tag in ("311", "312", "313")}
    assert lacking == {"311": set(), "312": set(), "313": set()}


def test_it_holds_the_model_and_no_debug_information(deb: Path) -> None:
    """Nor what makes models, nor the libraries that image/targets leaves out."""
    found = {file.name.removeprefix("./usr/lib/appliance/"): file.size for file in members(deb)}
    assert found["appliance/packs/whisper-tiny-en/model.bin"] > 40_000_000
    assert "appliance/packs/whisper-tiny-en/LICENSE" in found
    extensions = {name: size for name, size in found.items() if name.startswith("ctranslate2/_ext.")}
    assert len(extensions) == 3
    assert max(extensions.values()) < 4_000_000
    assert not [
        name for name in found if re.match(r"(ctranslate2/(converters|specs)|huggingface_hub|yaml|hf_xet)/", name)
    ]


def test_its_bill_of_materials_is_valid_and_whole(deb: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
    told = subprocess.run(
        ["tar", "-xO", "./usr/share/doc/speech-appliance/sbom.cdx.json"], check=True, input=archive, capture_output=True
    ).stdout.decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told) is None
    bill = json.loads(told)
    listed = {part["name"].lower().replace("_", "-"): part.get("version") for part in bill["components"]}
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (CHECKOUT / "image/wheels.lock").read_text()))
    assert locked.items() <= listed.items()
    assert {"kiosk-words", "whisper-tiny-en", "silero-vad-6.2"} <= listed.keys()
    assert all(part["licenses"] for part in bill["components"])
    assert json.loads(release(deb))["version"] == bill["metadata"]["component"]["version"]


class Debian:
    """A booted Debian without a network, with what the package depends on."""

    def __init__(self, machine: nspawn.Machine, debs: dict[str, str]) -> None:
        self.machine = machine
        self.debs = debs

    def dpkg(self, *arguments: str) -> str:
        return self.machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments, limit_s=300)

    def says(self, key: str) -> str:
        """What the daemon writes of the sentence, for a client that is in the same network."""
        command = ["nsenter", "-t", str(self.machine.leader), "-n", sys.executable, "-c", SAY, key]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.strip()

    def key(self, name: str) -> str:
        return self.machine.run("appliance", "keys", "create", name).split()[-1]

    def traces(self) -> list[str]:
        """Files of ours outside of /proc, /sys, and of dpkg's and systemd's own books."""
        told = self.machine.run(
            "find", "/", "-xdev", "-name", "*appliance*", "-not", "-path", "/var/lib/dpkg/*", "-not", "-path", "/debs/*"
        )
        return told.split()


@pytest.fixture(scope="module", params=SUITES)
def debian(request: pytest.FixtureRequest, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    if lacking := nspawn.missing():
        pytest.skip(f"booting a container needs {lacking}")
    suite, folder = str(request.param), tmp_path_factory.mktemp("debian")
    # of alternatives the one this Debian has
    depends = [re.sub(r"\(.*?\)", "", each).split("|") for each in field(deb, "Depends").split(",")]
    packages = [
        next((name.strip() for name in each if name.strip() in SUITES[suite]), each[0].strip()) for each in depends
    ]
    root, debs = folder / "root", folder / "debs"
    root.mkdir()
    debs.mkdir()
    subprocess.run(["tar", "-C", root, "-xpf", bare(suite, (*packages, "python3"))], check=True)
    shutil.copy(deb, debs / "one.deb")
    later(deb, debs / "two.deb")
    arguments = (f"--bind-ro={debs}:/debs", "--private-network")
    try:
        with nspawn.machine(root, folder / "console.log", *arguments, volatile="no") as machine:
            machine.wait_for(
                lambda: machine.run("systemctl", "is-system-running", check=False) in ("running", "degraded"),
                "a system",
            )
            yield Debian(machine, {"one": "/debs/one.deb", "two": "/debs/two.deb"})
    finally:
        shutil.rmtree(root)


def test_it_lives_from_installation_to_purge(debian: Debian) -> None:
    """One story, because each step is the next one's beginning."""
    machine = debian.machine
    debian.dpkg("-i", debian.debs["one"])
    first = machine.ready(180)
    assert machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""
    assert machine.run("systemctl", "is-enabled", "appliance", "appliance-selftest.timer") == "enabled\nenabled"
    assert "groups" not in machine.run("journalctl", "-u", "appliance", "-o", "cat")
    assert machine.run("sh", "-c", "find /usr/lib/appliance -name '*.pyc' | wc -l") != "0"
    key = debian.key("kept")
    assert understood(debian.says(key))
    assert "model whisper-tiny-en" in machine.journal(), "the embedded model is the default"
    assert "MemoryDenyWriteExecute=no" in machine.run("systemctl", "cat", "appliance.service")
    machine.run("systemctl", "start", "appliance-selftest", limit_s=120)
    assert machine.show("appliance-selftest")["Result"] == "success"

    # an upgrade keeps keys, measured figures, and what the owner has changed or disabled
    machine.run("sh", "-c", "echo '[log]\nlevel = \"debug\"' >>/etc/appliance/appliance.toml")
    machine.run("systemctl", "disable", "--now", "appliance-selftest.timer")
    debian.dpkg("--force-confold", "-i", debian.debs["two"])
    machine.wait_for(lambda: machine.show()["MainPID"] not in ("0", first["MainPID"]), "another daemon")
    machine.ready(180)
    assert "+later" in machine.run("cat", "/usr/lib/appliance/release.json")
    assert understood(debian.says(key))
    assert 'level = "debug"' in machine.run("cat", "/etc/appliance/appliance.toml")
    assert machine.run("systemctl", "is-enabled", "appliance-selftest.timer", check=False) == "disabled"

    # removed, what was kept is there for another time
    debian.dpkg("--remove", PACKAGE)
    assert machine.show()["ActiveState"] == "inactive"
    assert machine.run("sh", "-c", "ls -A /usr/lib/appliance 2>/dev/null", check=False) == ""
    debian.dpkg("-i", debian.debs["two"])
    machine.ready(180)
    assert understood(debian.says(key))

    debian.dpkg("--purge", PACKAGE)
    assert debian.traces() == []
    assert machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""


def test_a_python_that_is_too_old_is_passed_over(deb: Path, tmp_path: Path) -> None:
    """As on Ubuntu 22.04: python3 is 3.10 there, and the package depends on python3.11 beside it."""
    if lacking := nspawn.missing():
        pytest.skip(f"a root file system needs {lacking}")
    depends = ("python3.11", "libportaudio2", "libatomic1", "libc6", "openssh-client", "init-system-helpers", "python3")
    subprocess.run(["tar", "-C", tmp_path, "-xpf", bare("bookworm", depends)], check=True)
    old = tmp_path / "usr/bin/python3.10"
    old.write_text("#!/bin/sh\necho too old >&2; exit 9\n")
    old.chmod(0o755)
    (tmp_path / "usr/bin/python3").unlink()
    (tmp_path / "usr/bin/python3").symlink_to("python3.10")
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path], check=True)
    done = subprocess.run(
        ["chroot", tmp_path, "appliance", "models", "list"], capture_output=True, text=True, check=False
    )
    assert "whisper-tiny-en" in done.stdout, done.stderr
