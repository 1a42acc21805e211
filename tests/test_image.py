"""The recipes of image/, as far as they can be judged without building anything."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
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


def test_lock_leaves_out_what_is_unused_and_keeps_the_rest() -> None:
    """tqdm and requests are imported by vosk, whatever else asks for them."""
    assert not LOCKED.keys() & {*unused(), "hf-xet", "fsspec", "pocketsphinx"}
    assert LOCKED.keys() >= {"ctranslate2", "tokenizers", "vosk", "tqdm", "requests", "srt", "numpy"}


def unused() -> list[str]:
    """Return the libraries that image/targets leaves out."""
    named = re.search(r"(?m)^UNUSED=\((.*)\)", (IMAGE / "targets").read_text())
    assert named
    return named[1].split()


def test_whisper_without_the_unused_libraries_decodes() -> None:
    """In a process that cannot import them, as on a device."""
    assert set(unused()) == {"huggingface-hub", "pyyaml"}
    script = """
import sys
for name in ("huggingface_hub", "hf_xet", "fsspec", "yaml", "ctranslate2.converters", "ctranslate2.specs"):
    sys.modules[name] = None
import numpy as np
from appliance.engines.registry import ModelSpec, load
from appliance.packs.store import embedded
path = str(embedded()["whisper-tiny-en"])
stream = load(ModelSpec(name="whisper-tiny-en", engine="whisper", language="en", path=path)).stream()
stream.accept(np.zeros(16_000, np.int16))
stream.finish()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_strip_shrinks_a_library_that_still_loads(tmp_path: Path) -> None:
    """The library with the most debug information, and the one that it links to."""
    spec = importlib.util.find_spec("ctranslate2")
    assert spec
    assert spec.origin
    whole = Path(spec.origin).parent
    for name in ("ctranslate2", "ctranslate2.libs"):
        shutil.copytree(whole.with_name(name), tmp_path / name)
    files = [*(tmp_path / "ctranslate2").glob("_ext.*"), *(tmp_path / "ctranslate2.libs").glob("libctranslate2*")]
    before = [file.stat().st_size for file in files]
    subprocess.run([IMAGE / "strip", *files], check=True)
    assert [file.stat().st_size for file in files] < before
    assert files[0].stat().st_size < 4 << 20
    script = "import ctranslate2; print(ctranslate2.__file__, ctranslate2.get_supported_compute_types('cpu'))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr
    assert "int8" in done.stdout


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x01\x01" + bytes(64), b"\x7fELF\x02\x01" + bytes(58)])
def test_strip_refuses_what_it_does_not_know(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "library.so"
    file.write_bytes(content)
    done = subprocess.run([IMAGE / "strip", file], capture_output=True, text=True, check=False)
    assert (done.returncode, file.read_bytes()) == (1, content)
    assert done.stderr.startswith(f"image/strip: {file}: it")


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
