"""A box in a folder: a shipped program, a signer it trusts, and the wrapper and the guard that are installed."""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from appliance.update.manifest import FILE
from appliance.update.releases import Places
from appliance.update.stage import PYTHON

CHECKOUT = Path(__file__).parents[2]
Member = tuple[str, bytes | str | None, dict[str, Any]]
"""Name; content of a file, or None for a folder; further fields of the header."""


def release(version: str = "1.0", built: int = 1_000, **other: Any) -> dict[str, Any]:
    """A release.json."""
    return {"version": version, "built": built, "arch": "amd64", "pythons": [PYTHON], **other}


def program(version: str = "1.0", built: int = 1_000, **other: Any) -> dict[str, bytes]:
    """The files of a tree that can be told from others."""
    return {
        FILE: json.dumps(release(version, built, **other)).encode(),
        "appliance/__main__.py": f"print({version!r})\n".encode(),
        "appliance/parts/a.py": b"a = 1\n" * 50,
        "library.so": version.encode() * 100,
    }


def members(files: Mapping[str, bytes]) -> list[Member]:
    """As image/bundle packs them."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents})
    return [(name, None, {}) for name in folders] + [(name, files[name], {}) for name in sorted(files)]


def packed(inside: list[Member]) -> bytes:
    """A tar of them, one plain header each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, fields in inside:
            header = tarfile.TarInfo(name)
            header.mode, header.type = (0o755, tarfile.DIRTYPE) if content is None else (0o644, tarfile.REGTYPE)
            data = content.encode() if isinstance(content, str) else content or b""
            header.size = len(data)
            for field, value in fields.items():
                setattr(header, field, value)
            archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


class Signer:
    """A key of OpenSSH's in a folder."""

    def __init__(self, folder: Path, name: str = "release") -> None:
        self.name = name
        self.key = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key], check=True)

    def line(self, options: str = 'namespaces="appliance-update"') -> str:
        """For the file of allowed signers."""
        public = self.key.with_suffix(".pub").read_text().split()
        return f"{self.name} {options} {public[0]} {public[1]}\n"

    def sign(self, data: bytes, namespace: str = "appliance-update") -> bytes:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self.key]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def bundle(
    signer: Signer,
    files: Mapping[str, bytes],
    *,
    inside: list[Member] | None = None,
    change: Callable[[dict[str, Any]], Any] = lambda manifest: None,
    spoil: Callable[[bytes], bytes] = lambda payload: payload,
    namespace: str = "appliance-update",
) -> bytes:
    """A bundle of these files, or of ``inside`` instead. ``change`` is made to its manifest before that is signed,
    ``spoil`` to its payload afterwards."""
    archive = packed(members(files) if inside is None else inside)
    payload = lzma.compress(archive, preset=0)
    manifest = json.loads(files[FILE]) | {
        "format": 1, "sha256": sha256(payload).hexdigest(), "size": len(payload), "unpacked": len(archive)
    }  # fmt: skip
    change(manifest)
    data = json.dumps(manifest).encode()
    return packed(
        [
            ("manifest.json", data, {}),
            ("manifest.json.sig", signer.sign(data, namespace), {}),
            ("payload.tar.xz", spoil(payload), {}),
        ]
    )


class Box:
    """One that ships version 1.0, made at 1000."""

    def __init__(self, root: Path, signer: Signer) -> None:
        self.root = root
        self.signer = signer
        self.places = Places(root / "usr", root / "base", root / "run", root / "update-signers")
        self.ship(program())
        self.places.signers.write_text(signer.line())

    def ship(self, files: Mapping[str, bytes]) -> None:
        """Another image or package."""
        for name, content in files.items():
            path = self.places.shipped / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def chosen(self, *arguments: str) -> Path:
        """The tree that the command takes; whole, or this fails."""
        told = sh(self._wrapper(), *(arguments or ("serve",))).stdout.strip()
        tree = Path(told)
        version = json.loads((tree / FILE).read_bytes())["version"]
        for name, content in program(version).items():
            assert name == FILE or (tree / name).read_bytes() == content, f"{told} is not whole"
        assert tree == tree.resolve(), "not by a link, which may mean something else soon"
        return tree

    def version(self, *arguments: str) -> str:
        """Of the chosen tree."""
        return str(json.loads((self.chosen(*arguments) / FILE).read_bytes())["version"])

    def reboot(self) -> None:
        """What was in memory is gone."""
        for path in self.places.run.glob("*"):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def guard(self, what: str, **environment: str) -> str:
        """What systemd calls; what it said, and which commands of systemd's it gave."""
        text = self._here((CHECKOUT / "systemd" / "libexec" / "guard").read_text())
        tools = self.root / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "systemctl").write_text('#!/bin/sh\necho "systemctl $*"\n')
        (tools / "systemctl").chmod(0o755)
        done = sh(text, what, PATH=f"{tools}:{os.environ['PATH']}", **environment)
        assert done.stderr == ""
        return done.stdout

    def _wrapper(self) -> str:
        """What image/install installs, but for what it would start: that it prints."""
        made = (CHECKOUT / "image" / "command").read_text()
        said, starts = re.subn(r"(?m)^exec .*$", "printf '%s\\\\n' \"$PYTHONPATH\"", made)
        assert starts == 1
        return self._here(said)

    def _here(self, script: str) -> str:
        moved = script.replace("/usr/lib/appliance", str(self.places.shipped))
        moved = moved.replace("/var/lib/appliance-update", str(self.places.base))
        return moved.replace("/run/appliance-update", str(self.places.run))


def sh(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as the system's own shell does."""
    command = ["/bin/sh", "-c", script, "sh", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], **environment}
    )
