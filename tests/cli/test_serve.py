"""``appliance serve`` and ``appliance demo`` as processes: signals, bad configurations, the main job."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from appliance.cli.serve import _moved

APPLIANCE = [sys.executable, "-m", "appliance"]


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    config = tmp_path / "box.toml"
    config.write_text('microphones = []\n[recognizer]\nmodel = "kiosk-words"\n[tls]\nport = 0\n')
    command = [*APPLIANCE, "serve", "--port", "0", "--state-dir", str(tmp_path / "state"), "--config", str(config)]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "model: kiosk-words (vosk, en), because it was asked for\n"
    assert daemon.stdout.readline() == "  expect            letters, numbers, months and commands only\n"
    found = re.search(r"ready on (\S+) and (https://\S+)", daemon.stdout.readline())
    assert found
    trusted = ssl.create_default_context(cafile=tmp_path / "state" / "tls" / "ca.pem")
    assert urllib.request.urlopen(f"{found[2]}/readyz", timeout=5, context=trusted).status == 200
    assert urllib.request.urlopen(f"{found[1]}/readyz", timeout=5).status == 200
    children = {int(pid) for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()}
    daemon.send_signal(signal.SIGTERM)
    _, errors = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, errors
    assert children
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("[server]\nmax_message_bytes = 'x'\n", [], "server.max_message_bytes"),
        ("[server]\ncolour = 1\n", [], "colour"),
        ("[limits.somebody]\nidle_s = 1\n", [], "limits.somebody: there is no such dialect"),
        ("", ["--model", "nothing"], "the model nothing is not installed"),
        ("", ["--language", "xx"], "language xx"),
        ("", ["--engine", "kaldi"], "recognizer.engine"),
    ],
)
def test_a_bad_configuration_is_one_readable_line(tmp_path: Path, text: str, options: list[str], words: str) -> None:
    config = tmp_path / "box.toml"
    config.write_text(text)
    state = ["--no-tls", "--state-dir", str(tmp_path)]
    command = [*APPLIANCE, "serve", "--port", "0", *state, "--config", str(config), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        state = ["--no-tls", "--state-dir", str(tmp_path)]
        command = [*APPLIANCE, "serve", "--port", str(taken.getsockname()[1]), *state]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr


def test_the_demonstration_works(tmp_path: Path) -> None:
    """The main job: speech made on the spot, the real socket, real time, the right words."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(
        [*APPLIANCE, "demo"], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it works" in done.stdout
    assert "partial" in done.stdout


def test_the_demonstration_can_fail() -> None:
    """With a model that does not know these words it says so."""
    done = subprocess.run(
        [*APPLIANCE, "demo", "--model", "kiosk-words"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "the words are wrong" in done.stdout


def test_off_loopback_keys_are_needed(tmp_path: Path) -> None:
    """The daemon starts, says how to make a key, and lets nobody in without one."""
    config = tmp_path / "box.toml"
    config.write_text('microphones = []\n[recognizer]\nmodel = "kiosk-words"\n')
    command = [*APPLIANCE, "serve", "--host", "0.0.0.0", "--port", "0", "--no-tls", "--state-dir", str(tmp_path)]
    daemon = subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert daemon.stdout is not None
    ready = "".join(iter(daemon.stdout.readline, "stop with Ctrl-C\n"))
    port = re.search(r"http://0\.0\.0\.0:(\d+)", ready)
    assert port
    assert f"appliance keys create NAME --config {config} --state-dir {tmp_path}\n" in ready
    assert f"appliance demo --url http://0.0.0.0:{port[1]} --key KEY\n" in ready
    assert "microphones" not in ready
    create = [*APPLIANCE, *f"keys create demo --config {config} --state-dir {tmp_path}".split()]
    key = subprocess.run(create, capture_output=True, text=True, timeout=30, check=True).stdout.split()[-1]
    for given, said in (([], "is not known here; give a key"), (["--key", key], "words spoken")):
        demo = [*APPLIANCE, "demo", "--url", f"http://0.0.0.0:{port[1]}", *given]
        done = subprocess.run(demo, capture_output=True, text=True, timeout=120, check=False)
        assert said in done.stdout + done.stderr
        assert key not in done.stdout + done.stderr
    request = urllib.request.Request(f"http://127.0.0.1:{port[1]}/v3/token?expires_in_seconds=60")
    request.add_header("authorization", "any")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=5)
    daemon.send_signal(signal.SIGTERM)
    _, errors = daemon.communicate(timeout=20)
    assert "nobody has a key yet" in errors


def test_second_daemon_with_another_port_serves_tls_too(tmp_path: Path) -> None:
    """Both read the same configuration file; the TLS port moves by as much as the plain one."""
    plain, secure, second = free_port(), free_port(), free_port()
    config = tmp_path / "box.toml"
    config.write_text(
        f'microphones = []\n[recognizer]\nmodel = "kiosk-words"\n[server]\nport = {plain}\n[tls]\nport = {secure}\n'
    )
    moved = secure + second - plain
    found = []
    daemons = []
    try:
        for options in ([], ["--port", str(second)]):
            state = tmp_path / str(len(daemons))
            command = [
                *APPLIANCE,
                "serve",
                "--config",
                str(config),
                "--state-dir",
                str(state),
                "--no-calibrate",
                *options,
            ]
            daemons.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            stdout = daemons[-1].stdout
            assert stdout is not None
            found.append(next((line for line in iter(stdout.readline, "") if line.startswith("ready on")), ""))
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=20)
    assert found[0] == f"ready on http://127.0.0.1:{plain} and https://127.0.0.1:{secure}\n"
    assert f"http://127.0.0.1:{second} and https://127.0.0.1:" in found[1]
    assert not 0 < moved < 1 << 16 or found[1].endswith(f":{moved}\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "port", "moved"),
    [
        ("", 8080, 8443),
        ("", 9080, 9443),
        ("", 0, 0),
        ("", 65_535, 0),
        ("[tls]\nport = 0\n", 9080, 0),
        ("[server]\nport = 80\n[tls]\nport = 443\n", 8080, 8443),
    ],
)
def test_moved_tls_port_keeps_its_distance(tmp_path: Path, text: str, port: int, moved: int) -> None:
    config = tmp_path / "box.toml"
    config.write_text(text)
    assert _moved(config, port) == moved
