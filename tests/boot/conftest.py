"""What the tests in a container share."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.boot import nspawn
from tests.boot.root import installed
from tests.virtual_mic import CONFIGURATION, NAME, VirtualMicrophone, virtual_microphone

Boot = Callable[..., AbstractContextManager["Box"]]

INSIDE = "/mnt/microphone"
BASE = "[server]\nhost = '0.0.0.0'\nport = {port}\n[tls]\nport = {tls}\n[discovery]\nenabled = false\n"


class Box:
    """A container with the service: its machine, and where clients outside find it."""

    def __init__(self, machine: nspawn.Machine, port: int, configuration: str) -> None:
        self.machine = machine
        self.port = port
        self.configuration = configuration

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    def key(self, name: str = "test") -> str:
        """A new key, made as an operator makes it."""
        return self.machine.run("appliance", "keys", "create", name, "--microphones").split()[-1]


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    """The installed root file system; skips where none can be booted."""
    if lacking := nspawn.missing():
        pytest.skip(f"booting a container needs {lacking}")
    with installed("amd64") as path:
        yield path


@pytest.fixture
def boot(root: Path, tmp_path: Path) -> Boot:
    """``with boot(configuration, *arguments) as box``: see ``booted``."""
    return partial(booted, root, tmp_path)


@contextmanager
def booted(
    root: Path, folder: Path, configuration: str = "", *arguments: str, drop_in: str = "", volatile: str = "overlay"
) -> Iterator[Box]:
    """A container whose configuration is BASE and this; ``drop_in`` is laid over the unit's [Service]."""
    port, tls = _free_ports(2)
    text = BASE.format(port=port, tls=tls) + configuration
    own = folder / "configuration"
    own.mkdir()
    (own / "appliance.toml").write_text(text)
    bound = [f"--bind={own}:/etc/appliance"]
    if drop_in:
        (folder / "test.conf").write_text(f"[Service]\n{drop_in}\n")
        bound.append(f"--bind-ro={folder / 'test.conf'}:/etc/systemd/system/appliance.service.d/test.conf")
    with nspawn.machine(root, folder / "console.log", *bound, *arguments, volatile=volatile) as machine:
        yield Box(machine, port, text)


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    """A microphone outside; ``plugged(microphone)`` are the arguments that put it into a container."""
    with tempfile.TemporaryDirectory(prefix="microphone-") as folder, virtual_microphone(Path(folder)) as made:
        own = CONFIGURATION.format(name=NAME, server=f"unix:{INSIDE}/pulse").split("\n", 1)[1]
        (Path(folder) / "inside.conf").write_text(own)
        yield made


def plugged(microphone: VirtualMicrophone) -> tuple[str, ...]:
    """Arguments of ``boot`` with which ALSA inside has this microphone, under its name and as the default."""
    folder = Path(microphone.env["ALSA_CONFIG_PATH"]).parent
    folder.chmod(0o755)  # the service's user must reach the socket; PulseAudio has made the folder its own
    return (f"--bind={folder}:{INSIDE}", f"--bind-ro={folder / 'inside.conf'}:/etc/asound.conf")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
