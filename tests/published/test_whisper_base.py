"""A multilingual Whisper pack, from the publisher or joined from two wheels, writes English."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from appliance.packs.published import FILES
from appliance.text.errors import plain_words, word_errors
from tests.speech import spoken

NAME = "faster-whisper-base"
SENTENCE = "we are going to the city on monday"


def test_every_file_is_the_publishers(installed):
    pack = installed(NAME)
    assert (pack.engine, pack.language, pack.licence) == ("whisper", "mul", "MIT")
    assert pack.context.shortest_s == 12.0
    recorded = json.loads((pack.path / "appliance-pack.json").read_text())["files"]
    assert recorded == {file.name: [file.size, file.sha256] for file in FILES[NAME]}


@pytest.mark.parametrize("options", [["--language", "en"], []])
def test_it_transcribes_english(installed, models_dir: Path, tmp_path: Path, options: list[str]):
    installed(NAME)
    (tmp_path / "own.toml").write_text(f'[recognizer]\nmodels_dir = "{models_dir}"\n')
    soundfile.write(tmp_path / "speech.wav", memoryview(spoken(SENTENCE)).cast("h"), 16_000)
    command = [sys.executable, "-m", "appliance", "transcribe", "--model", NAME, *options]
    command += ["--config", str(tmp_path / "own.toml"), str(tmp_path / "speech.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert word_errors(plain_words(SENTENCE), plain_words(done.stdout)) <= 1, done.stdout
