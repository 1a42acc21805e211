"""Speech made on the spot, for proving that the machine hears: Debian's flite, whose voice slt is understood well."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path


class NoSpeech(Exception):
    """No synthesiser; the message says how to get one."""


def say(text: str) -> bytes:
    """s16le mono at 16 kHz. Raises ``NoSpeech``."""
    if shutil.which("flite") is None:
        raise NoSpeech("the speech synthesiser flite is missing; install it with: sudo apt install flite")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(target)], check=True, capture_output=True)
        with wave.open(io.BytesIO(target.read_bytes())) as audio:
            samples: bytes = audio.readframes(audio.getnframes())
    return samples
