"""``appliance selftest`` as the timer runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance import canary
from tests.box import box, kiosk, run, url


async def selftest(*arguments: object, program: str = "", **env: str) -> tuple[int, str, str]:
    command = (sys.executable, "-c", program or PROGRAM)
    process = await asyncio.create_subprocess_exec(
        *command, *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env}
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


PROGRAM = "from appliance.cli.selftest import selftest; selftest()"
UNPRIVILEGED = """
import os
import appliance.doctor.selftest, appliance.parts, appliance.canary, encodings.idna, websockets.asyncio.client
from appliance.cli.selftest import selftest
if os.geteuid() == 0:
    os.setuid(65534)
selftest()
"""
"""Without root's rights, and that only when all is loaded: Python itself may be root's."""


def configuration(folder: Path, heard: str) -> Path:
    """A state directory with a calibration in which kiosk-words wrote ``heard``."""
    figure = {"fingerprint": "", "cost": 0.1, "heard": heard, "measured_at": 0.0}
    kept: dict[str, Any] = {"machine": "m", "cores": 2.0, "models": {"kiosk-words": figure}}
    (folder / "calibration.json").write_text(json.dumps(kept))
    file = folder / "appliance.toml"
    file.write_text(f'[server]\nstate_dir = "{folder}"\n')
    return file


def test_right_words_and_others_than_at_calibration(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(kiosk()) as daemon:
            status, out, err = await selftest("--url", url(daemon), "--config", configuration(tmp_path, canary.TEXT))
            assert (status, err) == (0, "")
            assert out.startswith(f"self-test good: kiosk-words wrote '{canary.TEXT}', ")
            assert out.count("\n") == 1
            status, out, _ = await selftest("--url", url(daemon), "--config", configuration(tmp_path, "two kettles"))
            assert status == 1
            assert f"wrote '{canary.TEXT}' and not 'two kettles'" in out

    run(work)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--url", "http://127.0.0.1:9"], 1, "self-test failed: http://127.0.0.1:9: "),
        (["--url", "ftp://there"], 2, "a URL looks like"),
        (["--url", "http://["], 2, "a URL looks like"),
        (["--url", "http://127.0.0.1:99999"], 2, "a URL looks like"),
        (["--key-file", "/nonexistent/key"], 2, "/nonexistent/key: No such file"),
        (["--config", "/nonexistent.toml"], 2, "/nonexistent.toml"),
        (["--timeout", "0"], 2, "--timeout"),
    ],
)
def test_how_it_ends(arguments: list[str], status: int, words: str) -> None:
    found, out, err = asyncio.run(selftest(*arguments))
    assert found == status
    assert words in out + err
    assert (out + err).count("\n") == 1 or err.startswith("Usage:")


def test_without_rights(tmp_path: Path) -> None:
    (tmp_path / "selftest.key").write_text("abc")
    (tmp_path / "selftest.key").chmod(0)
    (tmp_path / "appliance.toml").write_text('[server]\nauth = "keys"\n')
    (tmp_path / "open.toml").write_text('[server]\nauth = "open"\n')
    tmp_path.chmod(0o711)
    program = f"import os; os.chdir({str(tmp_path)!r}){UNPRIVILEGED}"
    arguments = ("--url", "http://127.0.0.1:9", "--config")
    found = asyncio.run(selftest(*arguments, "appliance.toml", program=program, RUNTIME_DIRECTORY="."))
    assert found == (2, "", "appliance: the daemon's key cannot be read by this user: run this as root\n")
    status, out, err = asyncio.run(selftest(*arguments, "open.toml", program=program, RUNTIME_DIRECTORY="."))
    assert (status, err) == (1, "")
    assert out.startswith("self-test failed: http://127.0.0.1:9: ")


def test_a_calibration_that_cannot_be_read_is_nothing_to_be_told_here(tmp_path: Path) -> None:
    file = configuration(tmp_path, canary.TEXT)
    (tmp_path / "calibration.json").write_text("{")
    status, out, err = asyncio.run(selftest("--config", file, "--url", "http://127.0.0.1:9"))
    assert status == 1
    assert out.startswith("self-test failed: ")
    assert err == ""
