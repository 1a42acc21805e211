"""``appliance doctor`` as a person runs it: with a daemon, without one, at a real card."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tarfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance import canary
from appliance.cli.doctor import page
from appliance.doctor.findings import finding
from tests.box import box, kiosk, run, url
from tests.virtual_mic import VirtualMicrophone, virtual_microphone

PROGRAM = "from appliance.cli.doctor import doctor; doctor()"
TITLES = [
    "version", "configuration", "board", "heat and power", "processor", "memory", "disk", "clock", "microphones",
    "level", "overruns", "models", "speed", "daemon", "service", "ports", "certificate", "keys",
]  # fmt: skip


async def doctor(*arguments: object, **env: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *map(str, arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def configuration(folder: Path, **microphone: Any) -> Path:
    """Kiosk words, no TLS, a state of its own, perhaps one microphone."""
    file = folder / "appliance.toml"
    lines = [
        "[server]", "port = 9", f'state_dir = "{folder}"', "[tls]", "enabled = false",
        "[recognizer]", 'model = "kiosk-words"',
    ]  # fmt: skip
    lines += ["[[microphones]]", *(f"{key} = {json.dumps(value)}" for key, value in microphone.items())] * bool(
        microphone
    )
    file.write_text("\n".join(lines))
    return file


def titled(out: str) -> dict[str, dict[str, Any]]:
    return {finding["title"]: finding for finding in json.loads(out)}


def test_without_a_daemon(tmp_path: Path) -> None:
    status, out, err = asyncio.run(doctor("--config", configuration(tmp_path), "--json"))
    found = titled(out)
    assert list(found) == TITLES
    assert err == ""
    assert "none answers on http://127.0.0.1:9" in found["daemon"]["facts"][0]
    assert "measured now" in found["speed"]["facts"][0]
    assert not [each for each in found.values() if "could not be told" in " ".join(each["facts"])]
    assert status == any(each["verdict"] == "bad" for each in found.values())


def test_with_a_daemon_and_a_support_file(tmp_path: Path) -> None:
    bundle = tmp_path / "support.tar.gz"

    async def work() -> None:
        async with box(kiosk()) as daemon:
            file = configuration(tmp_path)
            _, out, err = await doctor("--config", file, "--url", url(daemon), "--bundle", bundle)
            assert "loaded: kiosk-words" in out
            assert "kiosk-words: real-time factor " in out
            assert "our daemon answers on" in out
            assert f"{bundle} holds, without audio, text or keys:" in err
            with tarfile.open(bundle) as archive:
                text = {entry.name.partition("/")[2]: archive.extractfile(entry).read().decode() for entry in archive}
            assert json.loads(text["healthz.json"])["status"] == "alive"
            assert "appliance_" in text["metrics.txt"]
            assert "canary" not in text["findings.txt"]
            assert [each["title"] for each in json.loads(text["findings.json"])] == TITLES

    run(work)


def test_a_terminal_without_arrows(tmp_path: Path) -> None:
    status, out, err = asyncio.run(
        doctor("--config", configuration(tmp_path, name="desk", device="no-such-card"), PYTHONIOENCODING="latin-1")
    )
    assert (status, err) == (1, "")
    assert "? plug it in" in out


def test_what_others_call_themselves_gets_no_say_over_the_terminal() -> None:
    shown = page([finding("ports", ["8080: taken by \x1b[2Jinnocent\x9b1m\r"], bad=["\x07"], advice="end \x1b]0;x")])
    assert "8080: taken by ?[2Jinnocent?1m?" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (["--url", "nowhere"], "a URL looks like"),
        (["--url", "http://["], "a URL looks like"),
        (["--url", "http://127.0.0.1:99999"], "a URL looks like"),
        (["--listen", "0"], "--listen"),
        (["--listen", "1", "--microphone", "none"], "there is no such microphone; there are: default"),
        (["--key-file", "/nonexistent"], "No such file"),
        (["--key-file", "/dev/null"], "/dev/null: there is no key in it"),
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], words: str) -> None:
    status, out, err = asyncio.run(doctor(*arguments))
    assert status == 2
    assert words in err
    assert err.count("\n") == 1 or err.startswith("Usage:")
    assert out == ""


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    file = configuration(tmp_path, name="desk", device="no-such-card")
    status, out, _ = asyncio.run(doctor("--config", file, "--listen", "1"))
    assert status == 1
    assert "no input device" in out
    assert "appliance devices" in out


# a real card


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("microphone")) as made:
        yield made


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "canary.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 16_000, 0, "NONE", ""))
        audio.writeframes(canary.load().samples.tobytes())
    return path


async def heard(microphone: VirtualMicrophone, recording: Path, *arguments: object) -> dict[str, dict[str, Any]]:
    """The listen test, with the phrase played over and over until it is over."""
    listening = asyncio.create_task(doctor(*arguments, "--listen", "9", "--json", **microphone.env))
    while not listening.done():
        await asyncio.to_thread(microphone.play, recording)
    return titled(listening.result()[1])


def test_listening_to_a_card(microphone: VirtualMicrophone, recording: Path, tmp_path: Path) -> None:
    async def work() -> None:
        file = configuration(tmp_path, name="desk", device="vmic")
        found = await heard(microphone, recording, "--config", file)
        assert "vmic" in found["microphone"]["facts"][0]
        assert found["level"]["verdict"] == "good", found
        assert found["clipping"]["verdict"] == "good"
        assert len(set(" ".join(found["speech"]["facts"]).split()) & set(canary.TEXT.split())) >= 4, found["speech"]

    run(work)


def test_the_daemon_has_the_card(
    microphone: VirtualMicrophone, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", microphone.env["ALSA_CONFIG_PATH"])

    async def work() -> None:
        async with box(kiosk(), microphones=[{"name": "desk", "device": "vmic"}]) as daemon:
            arguments = ("--config", configuration(tmp_path), "--url", url(daemon))
            found = await heard(microphone, recording, *arguments)
            assert "desk: ready" in found["microphone"]["facts"][0]
            assert len(set(" ".join(found["speech"]["facts"]).split()) & set(canary.TEXT.split())) >= 4, found["speech"]
            found = titled((await doctor(*arguments, "--json"))[1])
            assert found["microphones"]["facts"][0] == "desk (?): ready (vmic, 16000 Hz, 1 channel)"
            assert found["overruns"]["facts"] == ["desk: audio was lost 0 times"]

    run(work)


def test_a_card_for_the_page(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    file = configuration(tmp_path, name="desk", device="vmic")
    found = titled(asyncio.run(doctor("--config", file, "--json", **microphone.env))[1])
    assert "vmic" in found["microphones"]["facts"][0]
    assert found["level"]["verdict"] == "note"
    assert "digital silence" in " ".join(found["level"]["facts"])
