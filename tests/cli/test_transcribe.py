"""``appliance transcribe`` as people run it: formats, files that are none, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.media.files import encoded
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


def transcribe(*arguments: str | Path | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", "transcribe", "--engine", "whisper", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


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
    assert "readme.txt: not recognised as audio" in done.stderr


def test_transcribe_name_that_is_no_text_is_done(files: dict[str, Path], tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    Path(os.fsdecode(name)).write_bytes(files["wav"].read_bytes())
    done = transcribe(name, os.fsencode(tmp_path) + b"/missing\xe9.wav", "--format", "json", files["flac"])
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["file"].endswith("caf\\xe9.wav")
    assert first["text"] == second["text"] == WRITTEN
    assert "missing\\xe9.wav: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_transcribe_dash_reads_standard_input(files: dict[str, Path]) -> None:
    done = transcribe("-", files["flac"], stdin=files["wav"].read_bytes())
    assert (done.returncode, done.stdout.splitlines()) == (0, [WRITTEN, WRITTEN]), done.stderr


def test_transcribe_m4a_from_a_pipe_is_done(files: dict[str, Path]) -> None:
    samples, _ = soundfile.read(files["wav"], dtype="int16")
    done = transcribe("-", stdin=encoded(samples, "m4a"))
    assert (done.returncode, done.stdout.strip()) == (0, WRITTEN), done.stderr


def test_transcribe_raw_file_needs_a_rate(files: dict[str, Path], tmp_path: Path) -> None:
    samples, rate = soundfile.read(files["wav"], dtype="int16")
    raw = tmp_path / "speech.raw"
    raw.write_bytes(samples.tobytes())
    done = transcribe(raw, files["flac"])
    assert (done.returncode, done.stdout.strip()) == (1, WRITTEN)
    assert "speech.raw: not recognised as audio" in done.stderr
    assert "for samples without a header, add --rate" in done.stderr
    done = transcribe("--rate", str(rate), raw)
    assert (done.returncode, done.stdout.strip()) == (0, WRITTEN)


def test_transcribe_folder_is_named_as_one(files: dict[str, Path], tmp_path: Path) -> None:
    done = transcribe(tmp_path, files["wav"])
    assert (done.returncode, done.stdout.strip()) == (1, WRITTEN)
    assert "a folder, not a file; name the files in it" in done.stderr


def test_transcribe_cut_off_file_ends_with_3(files: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(files["wav"].read_bytes()[:-200])
    done = transcribe("--format", "json", cut, files["flac"])
    assert done.returncode == 3
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["text"], first["complete"], second["complete"]) == (WRITTEN, False, True)
    assert first["problem"].startswith("200 of ")
    assert second["problem"] is None
    assert f"cut.wav: incomplete: {first['problem']}" in done.stderr


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
