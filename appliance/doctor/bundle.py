"""A support file: what whoever helps needs to know, and nothing that was said or that lets anybody in.

In it: the findings, versions, the configuration's known keys, the unit's journal, /proc/asound, the daemon's health and
metrics, the kernel's name and the board's. Files that are kept are listed by name and size, none is opened. Everything
passes ``clean`` once more on its way in.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import shutil
import stat
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from appliance import config as configuration
from appliance.doctor.box import Box, fetch, get
from appliance.doctor.findings import Finding
from appliance.doctor.service import UNIT

JOURNAL_LINES = 2_000
JOURNAL_S = 30.0
ASOUND_BYTES, ASOUND_FILES = 65_536, 400
"""Of one file, and how many: a card has some tens of small ones."""
LISTED = 5_000
"""Files of the state directory."""
REMOVED = "[removed]"

SECRETS = (
    re.compile(r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"()\bsak_[A-Za-z0-9_-]+"),
    re.compile(r"(\bBearer )\S+", re.IGNORECASE),
    re.compile(
        r"((?<![a-z0-9])(?:[a-z0-9]+[_-])*(?:key|token|secret|psk|passw(?:or)?d|passphrase|digest)"
        r"[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}]{6,}",
        re.IGNORECASE,
    ),
    re.compile(r"()\b(?=[a-z_-]*[0-9A-Z])(?=[0-9A-Z_-]*[a-z])[A-Za-z0-9_-]{32,}"),
    re.compile(r"(\"text\":\s*)\"(?:[^\"\\]|\\.)*\""),
    re.compile(r"(\b(?:wrote|heard|said):? )(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"),
)
"""A private key; keys made here; what follows a header's or a setting's name; anything long that looks random; words
that were recognised, in JSON or in a log. The first group stays."""


def write(box: Box, findings: Sequence[Finding], page: str, path: Path) -> list[str]:
    """Put the bundle at ``path``, readable by its owner only; what is in it, one line each. Raises OSError.

    A file that is there is replaced, so that nobody has it open; a link or a device stays, and is an OSError.
    ``page`` is the findings as text.
    """
    members: dict[str, bytes] = {}
    for name, (_, part) in PARTS.items():
        try:
            members[name] = part(box)
        except Exception as error:
            members[name] = f"could not be had: {error or type(error).__name__}\n".encode()
    members["findings.txt"] = page.encode()
    members["findings.json"] = msgspec.json.format(msgspec.json.encode(findings))
    members |= _asound(box.root)
    secrets = (box.key,) if len(box.key) >= 16 else ()
    folder = f"appliance-{time.strftime('%Y%m%d-%H%M%S')}"
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in sorted(members.items()):
            content = clean(data.decode(errors="replace"), secrets).encode()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    sound = sum(name.startswith("asound/") for name in members)
    told = {"findings.txt": "this page", "findings.json": "the same for programs"}
    told |= {name: text for name, (text, _) in PARTS.items()}
    return [*(f"{name}: {text}" for name, text in told.items()), f"asound/: {sound} files of /proc/asound"]


def clean(text: str, secrets: Sequence[str] = ()) -> str:
    """Without what looks like a secret, or like words that were recognised. Pure."""
    for secret in secrets:
        text = text.replace(secret, REMOVED)
    for pattern in SECRETS:
        text = pattern.sub(rf"\g<1>{REMOVED}", text)
    return text


def settings(text: str) -> dict[str, Any]:
    """The settings of a configuration that we know, of others the names only; comments are left out. Pure."""
    known = tomllib.loads(configuration.DEFAULT.read_text())
    microphone = set(configuration.MicrophoneConfig.__struct_fields__)
    shown: dict[str, Any] = {}
    for table, values in tomllib.loads(text).items():
        if table == "microphones" and isinstance(values, list):
            shown[table] = [_known(row, microphone) for row in values]
        elif table == "limits" and isinstance(values, dict):
            shown[table] = {name: _numbers(row) for name, row in values.items()}
        else:
            shown[table] = _known(values, set(known.get(table, ())))
    return shown


def _known(values: Any, names: set[str]) -> Any:
    if not isinstance(values, dict):
        return REMOVED
    return {name: value if name in names else REMOVED for name, value in values.items()}


def _numbers(values: Any) -> Any:
    if not isinstance(values, dict):
        return REMOVED
    return {name: value if isinstance(value, int | float) else REMOVED for name, value in values.items()}


def _configuration(box: Box) -> bytes:
    if box.file is None:
        return b"no file: all is as by default\n"
    return msgspec.json.format(msgspec.json.encode(settings(box.file.read_text())))


def _packages(box: Box) -> bytes:
    rows = sorted({f"{each.name} {each.version}" for each in metadata.distributions()})
    if shutil.which("dpkg-query"):
        names = ("libportaudio2", "libasound2*", "alsa-*", "systemd", "linux-image-*", "python3", "libgpiod*")
        rows += _run("dpkg-query", "-W", "-f=${binary:Package} ${Version}\n", *names).splitlines()
    return "\n".join([*rows, ""]).encode()


def _journal(box: Box) -> bytes:
    return _run("journalctl", "-u", UNIT, "-n", str(JOURNAL_LINES), "--no-pager", "-o", "short-iso").encode()


def _system(box: Box) -> bytes:
    facts = [" ".join(platform.uname())]
    for name in ("proc/device-tree/model", "proc/device-tree/compatible", "etc/os-release", "proc/meminfo"):
        try:
            text = (box.root / name).read_bytes().decode(errors="replace").replace("\0", "\n")
        except OSError:
            continue
        facts += ["", f"/{name}:", text.strip()]
    return "\n".join([*facts, ""]).encode()


def _files(box: Box) -> bytes:
    """Names and sizes below the state directory; links are not followed."""
    rows = [str(box.config.state_dir)]
    for folder, folders, names in os.walk(box.config.state_dir):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            size = path.lstat().st_size
            rows.append(f"{size:>12} {path.relative_to(box.config.state_dir)}")
        if len(rows) > LISTED:
            rows.append("and more")
            break
    return "\n".join([*rows, ""]).encode()


def _asound(root: Path) -> dict[str, bytes]:
    """The sound system's own account of the cards."""
    found = {}
    for path in sorted((root / "proc/asound").rglob("*"))[:ASOUND_FILES]:
        if path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                found[f"asound/{path.relative_to(root / 'proc/asound')}"] = file.read(ASOUND_BYTES)
        except OSError:
            continue
    return found


def _run(*command: str) -> str:
    """What a program prints; why there is nothing, if so."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=JOURNAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}\n"
    return done.stdout or done.stderr


def _health(box: Box) -> bytes:
    said = get(f"{box.url}/healthz")
    return msgspec.json.format(msgspec.json.encode({"line" if name == "text" else name: said[name] for name in said}))


PARTS: dict[str, tuple[str, Callable[[Box], bytes]]] = {
    "packages.txt": ("versions of libraries and packages", _packages),
    "configuration.json": ("the settings that we know; of others the names", _configuration),
    "journal.txt": (f"the service's last {JOURNAL_LINES:,} lines in the journal", _journal),
    "system.txt": ("kernel, board, distribution, memory", _system),
    "files.txt": ("names and sizes of what is kept, no contents", _files),
    "healthz.json": ("what the daemon says of itself", _health),
    "readyz.json": ("its models", lambda box: fetch(f"{box.url}/readyz")),
    "metrics.txt": ("its figures", lambda box: fetch(f"{box.url}/metrics")),
}
"""Name of a member -> what it is, and how it is made."""
