"""Install the vendors' SDKs that are missing, several at a time: ``python -m tests.clients.install``.

Python packages come by uv, which needs seconds where pip needs minutes for the large ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.clients.sdks import BUILD, NODE, NODE_PROGRAM, NPM_SCRIPT, RECEIPT, SDKS, Sdk

UV = "uv==0.13.8"
AT_A_TIME = 3
LIMIT_S = 600


class Failed(Exception):
    """An installer's own words."""


def ensure(sdks: Sequence[Sdk] = SDKS) -> list[str]:
    """Install what is not there; returns what went wrong, one line for each SDK that is not optional."""
    missing = [sdk for sdk in sdks if not sdk.installed]
    if not missing:
        return []
    _uv()
    if not NODE.installed and any(sdk.registry == "npm" for sdk in missing):
        _install(NODE)
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return [problem for problem in threads.map(_attempt, missing) if problem]


def _attempt(sdk: Sdk) -> str:
    began = time.monotonic()
    try:
        _install(sdk)
    except Failed as failed:
        print(f"{sdk.title} cannot be installed: {failed}", flush=True)
        return "" if sdk.optional else sdk.title
    print(f"{sdk.title}: {time.monotonic() - began:.0f} s", flush=True)
    return ""


def _install(sdk: Sdk) -> None:
    shutil.rmtree(sdk.folder, ignore_errors=True)
    sdk.folder.mkdir(parents=True)
    if sdk.registry == "PyPI":
        _run([str(BUILD / "uv" / "bin" / "uv"), "pip", "install", "--python", sys.executable,
              "--target", str(sdk.folder), *sdk.requirements])  # fmt: skip
    else:
        _run([str(NODE_PROGRAM), str(NPM_SCRIPT), "install", "--prefix", str(sdk.folder), "--ignore-scripts",
              "--no-audit", "--no-fund", "--loglevel", "error", *sdk.requirements])  # fmt: skip
    (sdk.folder / RECEIPT).write_text(json.dumps(sdk.requirements))


def _uv() -> None:
    folder = BUILD / "uv"
    if not (folder / "bin" / "uv").exists():
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
              "--target", str(folder), UV])  # fmt: skip


def _run(command: list[str]) -> None:
    search = f"{NODE_PROGRAM.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, "PATH": search}
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {LIMIT_S} s") from None
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip()[-2000:])


if __name__ == "__main__":
    sys.exit("\n".join(ensure()) or None)
