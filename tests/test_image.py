"""The recipes of image/, as far as they can be judged without building anything."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[1]
IMAGE = CHECKOUT / "image"
SCRIPTS = [path for path in IMAGE.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/bin/")]
LOCKED = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (IMAGE / "wheels.lock").read_text()))


def test_the_lock_has_what_the_project_asks_for() -> None:
    """`image/lock` has to be run after a change of pyproject.toml."""
    asked = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(asked) > 10
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(LOCKED[requirement.name.lower().replace("_", "-")]), requirement


def test_every_file_of_the_lock_has_a_hash() -> None:
    entries = re.split(r"(?m)^(?=[a-z])", (IMAGE / "wheels.lock").read_text())[1:]
    assert len(entries) == len(LOCKED)
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []


def test_build_tools_are_locked_with_hashes() -> None:
    entries = re.split(r"(?m)^(?=[a-z])", (IMAGE / "build.lock").read_text())[1:]
    assert [entry.split("==")[0] for entry in entries] == ["setuptools"]
    assert all(re.fullmatch(r"\S+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}\n", entry) for entry in entries)


def test_wheels_are_built_with_the_locked_tools_only() -> None:
    """pip would otherwise fetch the newest build tools, without a hash, and execute them as root."""
    for script in SCRIPTS:
        calls = re.findall(r"(?m)^[^#\n]*\bpip_? wheel\b(?:.*\\\n)*.*", script.read_text())
        assert all("--no-build-isolation" in call for call in calls), script
    (call,) = re.findall(r"-m pip wheel (?:.*\\\n)*.*", (IMAGE / "targets").read_text())
    assert "--no-build-isolation" in call
    (call,) = re.findall(r"-m pip install (?:.*\\\n)*.*", (IMAGE / "targets").read_text())
    assert "--require-hashes" in call
    assert "--only-binary=:all:" in call
    assert "build.lock" in call


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGE)))
def test_the_shell_understands_it(script: Path) -> None:
    shell = script.read_text().splitlines()[0].removeprefix("#!").split()[0]
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("install", "which root file system"),
        ("install ROOT --arch", "--arch needs a value"),
        ("install ROOT --arch mips", "no wheels for mips"),
        ("install ROOT --python 2.7", "not for '2.7'"),
        ("install ROOT --frob", "unknown option --frob"),
        ("deb", "for which architecture"),
        ("deb mips", "for which architecture"),
        ("card --model", "--model needs a value"),
        ("card --frob", "unknown option --frob"),
        ("card", "whose updates the device takes"),
        ("card --model x ROOT/out.img", "whose updates the device takes"),
        ("card --signers", "--signers needs a value"),
        ("card --signers ROOT/none", "there is no file"),
        ("card --signers ROOT --development", "exclude each other"),
        ("bundles --key", "--key needs a value"),
        ("bundles --frob", "unknown option --frob"),
        ("bundle ROOT", "the file to make"),
        ("bundle ROOT update --key", "needs a value"),
    ],
)
def test_a_wrong_call_is_answered_with_what_is_wrong_and_the_usage(call: str, words: str, tmp_path: Path) -> None:
    script, *rest = call.replace("ROOT", str(tmp_path)).split()
    done = subprocess.run([IMAGE / script, *rest], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said, usage = done.stderr.splitlines()
    assert said.startswith(f"image/{script}: ")
    assert words in said
    assert usage.startswith(f"usage: image/{script} ")


def test_the_package_and_the_installation_start_the_same_units() -> None:
    """Those of the preset, in every place that names them."""
    preset = set(re.findall(r"enable (\S+)", (CHECKOUT / "systemd/system-preset/80-appliance.preset").read_text()))
    installed = re.search(r"units=\((.*?)\)", (IMAGE / "install").read_text())
    assert installed
    assert set(installed[1].split()) == preset
    for script in (IMAGE / "package").iterdir():
        named = re.search(r'(?m)^units="(.*)"', script.read_text())
        assert named
        assert set(named[1].split()) == preset
