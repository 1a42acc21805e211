"""``appliance transcribe`` as people run it: formats, files that are none, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.speech import spoken

SENTENCE, WRITTEN = "what time is it now", "What time is it now?"
"""As it is said, and as Whisper writes it."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    samples = np.frombuffer(spoken(SENTENCE), np.int16)
    made = {}
    for suffix, data in (
        ("wav", samples),
        ("flac", samples),
        ("ogg", samples),
        ("stereo.wav", np.stack([samples] * 2, 1)),
    ):
        made[suffix] = folder / f"sentence.{suffix}"
        soundfile.write(made[suffix], data, 16_000)
    made["empty"] = folder / "empty.wav"
    soundfile.write(made["empty"], samples[:0], 16_000)
    made["text"] = folder / "readme.txt"
    made["text"].write_text("this is not audio")
    made["missing"] = folder / "missing.wav"
    return made


def transcribe(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", "transcribe", "--engine", "whisper", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_kind_of_file(files: dict[str, Path]) -> None:
    done = transcribe(files["wav"], files["flac"], files["ogg"], files["stereo.wav"], files["empty"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[0] == lines[1] == lines[3] == WRITTEN
    assert len(set(lines[2].split()) & set(WRITTEN.split())) >= 4  # Vorbis is lossy
    assert lines[4] == ""


def test_json_is_one_object_per_file_and_line(files: dict[str, Path]) -> None:
    done = transcribe("--format", "json", files["wav"], files["empty"])
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["text"] == WRITTEN
    assert [word["text"] for word in first["words"]] == WRITTEN.split()
    assert all(a["end"] <= b["start"] + 0.02 for a, b in zip(first["words"], first["words"][1:], strict=False))
    assert 0.3 <= first["words"][0]["start"] < first["words"][-1]["end"] <= first["duration"]
    assert second["text"] == ""
    assert second["words"] == []


@pytest.mark.parametrize(("style", "begin"), [("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:00:0")])
def test_subtitles(files: dict[str, Path], style: str, begin: str) -> None:
    done = transcribe("--format", style, files["wav"])
    assert done.stdout.startswith(begin)
    assert f"\n{WRITTEN}\n" in done.stdout


def test_a_bad_file_is_named_and_the_others_are_done(files: dict[str, Path]) -> None:
    done = transcribe(files["missing"], files["wav"], files["text"])
    assert done.returncode == 1
    assert done.stdout.strip() == WRITTEN
    assert "missing.wav: no such file" in done.stderr
    assert "readme.txt: not readable as audio" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["--format", "docx", "x.wav"], "docx"),
        (["--config", "/nonexistent.toml", "x.wav"], "/nonexistent.toml"),
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], words: str) -> None:
    done = transcribe(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_model_that_is_not_there() -> None:
    done = transcribe("--model", "no-such-model", "x.wav")
    assert done.returncode == 1
    assert "no-such-model is not installed" in done.stderr
