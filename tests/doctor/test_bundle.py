"""The support file holds what helps, and no secret that is anywhere on the box."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from appliance.accounts.keys import Keys
from appliance.config import load
from appliance.doctor import bundle
from appliance.doctor.box import Box
from appliance.doctor.bundle import REMOVED, clean, settings
from appliance.doctor.findings import finding
from appliance.server.authority import Authority

WIFI = "correct-horse-battery"
TOKEN = "Zk3" + "x9Qf" * 10
SPOKEN = "the patient has two kidneys"


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Box, list[str]]:
    """A box with secrets in every corner, and the secrets."""
    state, root = tmp_path / "state", tmp_path / "root"
    key, text = Keys(state / "accounts").create("kitchen", now=0.0)
    Authority(state / "tls").open()
    private = (state / "tls" / "ca.key").read_text().split("PRIVATE KEY-----")[1][:60].strip()
    digest = json.loads((state / "accounts" / "keys.json").read_text())
    (state / "accounts" / "tokens.json").write_text(json.dumps({"token": TOKEN}))
    (state / "transcript.txt").write_text(SPOKEN)
    (state / "recording.wav").write_bytes(b"RIFF" + SPOKEN.encode())
    (state / "link").symlink_to(state / "transcript.txt")
    file = tmp_path / "appliance.toml"
    file.write_text(
        f'# the Wi-Fi is {WIFI}\npassword = "{WIFI}"\n[server]\nport = 8080\nstate_dir = "{state}"\n'
        f'api_key = "{text}"\n[wifi]\npsk = "{WIFI}"\n[limits.gnani]\nidle_s = 5\nnote = "{WIFI}"\n'
        f'[[microphones]]\nname = "desk"\npassphrase = "{WIFI}"\n'
    )
    sound = root / "proc/asound/card0"
    sound.mkdir(parents=True)
    (sound / "id").write_text("Device\n")
    (root / "proc/asound/cards").write_text(" 0 [Device]: USB-Audio - USB PnP Sound Device\n")
    config = load(None, {"server": {"state_dir": str(state)}})
    box = Box(config=config, file=file, url="http://127.0.0.1:9", key=TOKEN, silent="nobody", root=root)
    return box, [WIFI, text, TOKEN, SPOKEN, private, key.id, digest["secret"], digest["keys"][0]["digest"]]


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            found[entry.name.partition("/")[2]] = file.read().decode()
    return found


def test_no_secret_is_in_it(planted: tuple[Box, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, secrets = planted
    lines = [
        f"INFO somebody came with {secrets[1]}", f"Authorization: Bearer {TOKEN}", f"psk={WIFI}",
        f'{{"type": "final", "text": "{SPOKEN}"}}', f"it wrote: '{SPOKEN}'", "microphone desk: ready",
    ]  # fmt: skip
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "journalctl").write_text("#!/bin/sh\ncat <<'EOF'\n" + "\n".join(lines) + "\nEOF\n")
    (tools / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    assert all(len(secret) > 7 for secret in secrets)
    path = tmp_path / "support.tar.gz"
    path.write_text("an older one")
    path.chmod(0o644)
    told = bundle.write(box, [finding("keys", [f"the key is {TOKEN}"])], f"the key is {TOKEN}\n", path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = members(path)
    for name, text in found.items():
        for secret in secrets:
            assert secret not in text, f"{name} holds {secret}"
    assert "microphone desk: ready" in found["journal.txt"]
    assert " transcript.txt" in found["files.txt"]
    assert " accounts/keys.json" in found["files.txt"]
    assert "USB PnP" in found["asound/cards"]
    assert found["asound/card0/id"] == "Device\n"
    assert "could not be had" in found["healthz.json"]
    assert "Linux" in found["system.txt"]
    assert "websockets " in found["packages.txt"]
    assert {line.partition(":")[0] for line in told} == {name.partition("/")[0] + "/" * ("/" in name) for name in found}


def test_who_had_a_file_there_open_does_not_see_the_new_one(planted: tuple[Box, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "support.tar.gz"
    path.write_text("an older one")
    path.chmod(0o666)
    with path.open() as before:
        bundle.write(planted[0], [], "", path)
        assert before.read() == "an older one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "findings.txt" in members(path)


def test_it_goes_where_there_is_a_file_or_none(planted: tuple[Box, list[str]], tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("somebody's")
    link.symlink_to(target)
    os.mkfifo(pipe)
    for path in (link, pipe):
        with pytest.raises(FileExistsError):
            bundle.write(planted[0], [], "", path)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert target.read_text() == "somebody's"


def test_settings_that_we_know_stay() -> None:
    shown = settings(
        '[server]\nhost = "0.0.0.0"\npin = "1234"\n[tls]\nkey = "/etc/k.pem"\n'
        '[limits.gnani]\nidle_s = false\n[[microphones]]\nname = "desk"\npin = 1\n[other]\na = 1\n'
    )
    assert shown == {
        "server": {"host": "0.0.0.0", "pin": REMOVED},
        "tls": {"key": "/etc/k.pem"},
        "limits": {"gnani": {"idle_s": False}},
        "microphones": [{"name": "desk", "pin": REMOVED}],
        "other": {"a": REMOVED},
    }


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("api_key=abcdef123 rest", f"api_key={REMOVED} rest"),
        ('"token": "abcdef123",', f'"token": "{REMOVED}",'),
        ("?key=abcdef123&rate=8000", f"?key={REMOVED}&rate=8000"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nrest", f"{REMOVED}\nrest"),
        ("-----BEGIN EC PRIVATE KEY-----\nabc cut", REMOVED),
        ('"text": "with \\"quotes\\" in it", 1', f'"text": {REMOVED}, 1'),
        ("vosk-model-small-en-us-0.15 is good", "vosk-model-small-en-us-0.15 is good"),
        ("the key cannot be read", "the key cannot be read"),
        ("appliance.service: Failed with result 'exit-code'", "appliance.service: Failed with result 'exit-code'"),
    ],
)
def test_clean(text: str, left: str) -> None:
    assert clean(text) == left
