"""nginx and Caddy with the configurations of docs/proxies.md, in front of a daemon that asks for keys."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.attacks.device import Device, device
from tests.speech import silence, tone

PAGE = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text()
START_S = 20.0
SERVER: dict[str, Any] = {"auth": "keys", "proxies": ["127.0.0.1"]}
NGINX = """\
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log;
events {{ }}
http {{ access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
{block}
}}
"""
CADDY = """\
{{
    admin off
    auto_https off
}}
{block}
"""
FRAMES = {"nginx": NGINX, "caddy": CADDY}
COMMANDS = {
    "nginx": ["nginx", "-p", "{folder}", "-c", "{file}"],
    "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", "{file}"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def proxy(program: str, target: Device, folder: Path, wrong: str = "", instead: str = "") -> Iterator[str]:
    """Run the documented configuration, with a mistake if ``wrong`` matches; yield the address of the proxy."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing (Debian package {program})")
    found = re.search(rf"```{program}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    port = free_port()
    block = re.sub(wrong, instead, found[1]) if wrong else found[1]
    block = block.replace("8090", str(port)).replace("127.0.0.1:8080", f"127.0.0.1:{target.port}")
    file = folder / "configuration"
    file.write_text(FRAMES[program].format(folder=folder, block=block))
    command = [part.format(folder=folder, file=file) for part in COMMANDS[program]]
    with (folder / "output").open("wb") as log:
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert process.poll() is None, (folder / "output").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            assert time.monotonic() < deadline, f"{program} does not listen"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def target() -> Iterator[Device]:
    with device(server=SERVER) as running:
        yield running


@pytest.fixture(params=["nginx", "caddy"])
def behind(request: pytest.FixtureRequest, target: Device, tmp_path: Path) -> Iterator[str]:
    with proxy(request.param, target, tmp_path) as address:
        yield address


def refusal(address: str, path: str) -> tuple[int, str]:
    """What a WebSocket is refused with: status and body."""
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://{address}{path}"):
        pass
    return refused.value.response.status_code, bytes(refused.value.response.body or b"").decode()


def test_proxy_stream_below_prefix_is_transcribed(behind: str, target: Device) -> None:
    with connect(f"ws://{behind}/speech/v1/stream?key={target.key()}&silence_to_end_ms=500") as client:
        client.send(tone(1.3) + silence(1.0))
        while (event := json.loads(client.recv(20)))["type"] != "final":
            pass
        assert event["text"].startswith("one two")


def test_proxy_upload_below_prefix_is_transcribed(behind: str, target: Device) -> None:
    answer = httpx.post(
        f"http://{behind}/speech/v1/transcribe?model=any",
        headers={"authorization": f"bearer {target.key()}", "content-type": 'audio/l16; rate="16000"'},
        content=tone(1.3) + silence(1.0),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert "one two" in answer.text


def test_proxy_forwarded_client_is_not_local(behind: str) -> None:
    assert "text" not in httpx.get(f"http://{behind}/speech/healthz").json()
    assert httpx.get(f"http://{behind}/speech/metrics").status_code == 401


def test_proxy_wrong_path_404_lists_paths(behind: str) -> None:
    status, said = refusal(behind, "/speech/speech/v1/stream?key=any")
    assert status == 404
    assert "/v1/stream" in json.loads(said)["websocket"]


@pytest.mark.parametrize(
    ("wrong", "instead", "status", "said"),
    [
        (".*(Upgrade|Connection) .*", "", 426, "has to pass on Upgrade"),
        (".*proxy_http_version.*", "", 505, "unsupported HTTP version"),
        ("8080/;", "8080;", 404, "has to remove that path"),
    ],
)
def test_nginx_wrong_configuration_is_explained(
    target: Device, tmp_path: Path, wrong: str, instead: str, status: int, said: str
) -> None:
    with proxy("nginx", target, tmp_path, wrong, instead) as address:
        refused = refusal(address, "/speech/v1/stream?key=any")
    assert refused[0] == status
    assert said in refused[1]
