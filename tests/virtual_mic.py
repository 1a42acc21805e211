"""An ALSA capture device without sound hardware: a PulseAudio null sink's monitor through ALSA's pulse plugin."""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
NAME = "vmic"
RATE = 48_000
"""Hz of the sink; other rates are converted by PulseAudio."""
START_S = 10.0
SETTLE_S = 2.5
"""An idle null sink ticks every 2 s; only after that does the feeder's 50 ms tick rule, and captures begin at once."""

CONFIGURATION = """\
</usr/share/alsa/alsa.conf>
pcm.{name} {{ type pulse server "{server}" device "{name}.monitor" hint {{ show on description "Virtual" }} }}
ctl.{name} {{ type pulse server "{server}" }}
pcm.!default {{ type pulse server "{server}" device "{name}.monitor" hint {{ show on description "Default" }} }}
"""


class VirtualMicrophone:
    """Plug it in, play to it, pull it out. Needs no sound hardware, kernel module, session or D-Bus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = f"unix:{folder / 'pulse'}"
        self._running: list[subprocess.Popen[bytes]] = []
        configuration = folder / "asound.conf"
        configuration.write_text(CONFIGURATION.format(name=NAME, server=self._server))
        self.env = {"ALSA_CONFIG_PATH": str(configuration)}
        """What a program needs in its environment to find the device."""

    def replug(self) -> None:
        """Start the sound server; the device delivers silence from when this returns."""
        (self._folder / "pulse").unlink(missing_ok=True)
        home = str(self._folder)
        runtime = {f"PULSE_{name}_PATH": home for name in ("RUNTIME", "STATE")}
        self._start(
            *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit"),
            *("--realtime=no", "--high-priority=no", "--log-target=stderr"),
            *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={self._folder / 'pulse'}"),
            *("-L", f"module-null-sink sink_name={NAME} rate={RATE} channels=1 format=s16le"),
            **{"HOME": home, "XDG_RUNTIME_DIR": home, **runtime},
        )
        self._until("info", "Server Name")
        # without a player the monitor delivers nothing, and the first sound played loses its beginning
        feed = ("--playback", "--raw", f"--rate={RATE}", "--channels=1", "--format=s16le", "--latency-msec=50")
        self._start("pacat", *feed, f"--device={NAME}", "/dev/zero", PULSE_SERVER=self._server)
        self._until("list short sinks", "RUNNING")
        time.sleep(SETTLE_S)

    def unplug(self) -> None:
        """Kill the sound server: the device vanishes under whoever reads it."""
        while self._running:
            process = self._running.pop()
            process.kill()
            process.wait()

    @property
    def server(self) -> subprocess.Popen[bytes]:
        """The sound server, to stop it for a while."""
        return self._running[0]

    def play(self, wav: Path) -> None:
        """Play a file into the microphone; returns when it has been heard."""
        command = ["paplay", f"--device={NAME}", "--latency-msec=300", str(wav)]
        subprocess.run(command, env={**os.environ, "PULSE_SERVER": self._server}, check=True, timeout=60)

    def _start(self, *command: str, **env: str) -> None:
        with (self._folder / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._running.append(process)

    def _until(self, question: str, answer: str) -> None:
        """Wait until ``pactl question`` answers; the socket exists before it does."""
        deadline = time.monotonic() + START_S
        env = {**os.environ, "PULSE_SERVER": self._server}
        while True:
            done = subprocess.run(["pactl", *question.split()], env=env, capture_output=True, text=True, check=False)
            if answer in done.stdout:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"pactl {question}: no {answer!r} in {START_S:.0f} s; logs in {self._folder}")
            time.sleep(0.05)


def missing() -> str:
    """What this machine lacks for a virtual microphone; empty when it has all."""
    tools = [tool for tool in ("pulseaudio", "pactl", "pacat", "paplay") if not shutil.which(tool)]
    plugins = [] if any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")) else ["ALSA's pulse plugin"]
    library = [] if ctypes.util.find_library("portaudio") else ["PortAudio"]
    return ", ".join(tools + plugins + library)


@contextlib.contextmanager
def virtual_microphone(folder: Path) -> Iterator[VirtualMicrophone]:
    """A plugged-in microphone called ``vmic`` (also ALSA's default) that lives in ``folder``; skips where it cannot."""
    if lacking := missing():
        pytest.skip(f"a virtual microphone needs {lacking} (Debian packages: {PACKAGES})")
    microphone = VirtualMicrophone(folder)
    try:
        microphone.replug()
        yield microphone
    finally:
        microphone.unplug()
