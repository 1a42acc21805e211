"""The Vosk path with a published model: Korean, with i-vectors and a dynamic graph, in a process of its own.

Without a recording the speech is espeak-ng's, which the model hardly understands: then the test shows that the model
loads, streams and ends utterances, and not how accurate it is. ``KOREAN_SPEECH=FILE`` takes a recording.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr

NAME = "vosk-model-small-ko-0.22"
SENTENCE = "저는 오늘 학교에 갑니다"
MOST_MIB = 800
"""Measured: 547 after loading, 652 after 22 s of speech."""

HEAR = """
import json, resource, sys, time
from appliance.core.events import Final, Partial
from appliance.core.options import SessionOptions
from appliance.core.session import Session
from appliance.engines.registry import ModelSpec, detector, load

began = time.monotonic()
recognizer = load(ModelSpec(name="ko", engine="vosk", language="ko", path=sys.argv[1]))
load_s = time.monotonic() - began
audio = sys.stdin.buffer.read()
session, events = Session(SessionOptions(), recognizer, detector("silero").stream()), []
for start in range(0, len(audio), 3_200):
    events += session.push(audio[start : start + 3_200])
events += session.finish()
finals = [(event.text, event.cause.name, event.start, event.end) for event in events if isinstance(event, Final)]
partials = sum(isinstance(event, Partial) for event in events)
mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"load_s": load_s, "finals": finals, "partials": partials, "mib": mib}))
"""


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Korean speech at 16 kHz with silence around it."""
    if path := os.environ.get("KOREAN_SPEECH"):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    elif shutil.which("espeak-ng"):
        command = ["espeak-ng", "-v", "ko", "-s", "130", "--stdout", SENTENCE]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        samples, rate = soundfile.read(io.BytesIO(said), dtype="float32", always_2d=True)
    else:
        pytest.skip("the Debian package espeak-ng is missing")
    mono = soxr.resample(samples.mean(axis=1), rate, 16_000)
    return np.concatenate([np.zeros(8_000), mono * 0.8, np.zeros(24_000)])


def test_it_loads_streams_and_ends_the_utterance(installed, speech):
    pack = installed(NAME)
    assert (pack.engine, pack.language) == ("vosk", "ko")
    assert pack.size > 260_000_000
    audio = (np.clip(speech, -1, 1) * 32_767).astype("<i2").tobytes()
    done = subprocess.run([sys.executable, "-c", HEAR, str(pack.path)], input=audio, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    heard = json.loads(done.stdout)
    print(json.dumps(heard, ensure_ascii=False))
    assert heard["finals"]
    assert heard["partials"] > 0
    assert heard["mib"] < MOST_MIB
    for text, cause, start, end in heard["finals"]:
        assert cause == "SILENCE"
        assert 0 < start < end <= len(speech)
        assert any("가" <= letter <= "힣" for letter in text)
