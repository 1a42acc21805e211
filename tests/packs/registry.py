"""Wheels in a folder that pip takes for the Python package registry."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """Write a wheel that pip accepts; ``files``: path in the wheel -> content."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for title, text in about.items():
            archive.writestr(f"{stem}.dist-info/{title}", text)
        for title, content in files.items():
            archive.writestr(title, content)
    return path


def use(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip see only the wheels in ``folder``."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


def use_index(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let pip ask the index at ``url`` and nothing else."""
    use(monkeypatch, Path("/nonexistent"))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", url)
