"""The checks on a machine made of files, and on a configuration that a person might have."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appliance.accounts.keys import Keys
from appliance.config import load
from appliance.doctor import holders, machine, models, service, sound
from appliance.doctor.box import Box, Listened, listened
from appliance.doctor.findings import Verdict
from appliance.server.authority import Authority


def made(folder: Path, **tables: dict[str, Any]) -> Box:
    """A box with its state in ``folder``, and no daemon."""
    state = folder / "state"
    server = {"state_dir": str(state), "port": 0, **tables.pop("server", {})}
    config = load(None, {"server": server, **tables})
    return Box(config=config, file=None, url="http://127.0.0.1:9", silent="nobody", root=folder / "root")


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return made(tmp_path)


def zone(root: Path, celsius: float) -> None:
    put(root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put(root, "sys/class/thermal/thermal_zone0/temp", f"{celsius * 1000:.0f}\n")


def test_heat(box: Box) -> None:
    assert machine.heat(box).facts == ("this board does not tell",)
    zone(box.root, 51)
    assert machine.heat(box).facts == ("51 °C",)
    assert machine.heat(box).verdict is Verdict.GOOD
    zone(box.root, 84)
    hot = machine.heat(box)
    assert hot.verdict is Verdict.BAD
    assert "hot: 84 °C" in hot.facts


def test_board(box: Box) -> None:
    put(box.root, "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    put(box.root, "sys/devices/system/cpu/online", "0-3\n")
    facts = " ".join(machine.board(box).facts)
    assert "Raspberry Pi 5" in facts
    assert "4 cores" in facts


def test_memory(box: Box) -> None:
    put(box.root, "proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 20480 kB\n")
    short = machine.memory(box)
    assert short.verdict is Verdict.BAD
    assert "20 MiB available" in short.facts
    assert short.advice


def test_disk(box: Box) -> None:
    assert "is not there yet" in machine.disk(box).facts[0]
    box.config.state_dir.mkdir()
    assert machine.disk(box).verdict is Verdict.GOOD
    assert "MiB free" in machine.disk(box).facts[0]


def test_a_clock_that_was_not_set(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    assert machine.clock(box).verdict is Verdict.BAD
    assert "has not been set" in machine.clock(box).facts[1]


def test_a_clock_that_a_time_server_sets(box: Box) -> None:
    put(box.root, "run/systemd/timesync/synchronized", "")
    assert machine.clock(box).facts[-1] == "set by a time server"


def test_certificate(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "none yet" in service.certificate(box).facts[0]
    authority = Authority(box.config.state_dir / "tls")
    authority.open()
    authority.renew()
    good = service.certificate(box)
    assert good.verdict is Verdict.GOOD
    assert "396 days" in good.facts[0] or "395 days" in good.facts[0]
    assert "localhost" in good.facts[1]
    now = time.time()
    for days, words in ((390, "it ends soon"), (400, "it has expired"), (-3, "not valid yet")):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86_400)
        assert words in " ".join(service.certificate(box).facts)
        assert service.certificate(box).advice
    monkeypatch.undo()
    authority.files[0].write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    assert service.certificate(box).verdict is Verdict.BAD


def test_a_certificate_that_lacks_a_name(tmp_path: Path) -> None:
    box = made(tmp_path, tls={"names": ["box.example.org"]})
    authority = Authority(box.config.state_dir / "tls")
    authority.open()
    authority.renew()
    assert service.certificate(box).facts[-1] == "not for box.example.org"


def test_keys(tmp_path: Path) -> None:
    assert "any key is good" in service.keys(made(tmp_path)).facts[0]
    opened = service.keys(made(tmp_path, server={"host": "0.0.0.0", "auth": "open"}))
    assert opened.verdict is Verdict.NOTE
    guarded = made(tmp_path, server={"auth": "keys"})
    assert service.keys(guarded).advice == "appliance keys create NAME"
    _, text = Keys(guarded.config.state_dir / "accounts").create("kitchen", now=time.time())
    assert service.keys(guarded).facts == ("clients need one; 1 there, 0 expired",)
    assert text not in str(service.keys(guarded))


def test_ports(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert holders.listening(port)[0]
        box = made(tmp_path, server={"port": port}, tls={"enabled": False})
        found = service.ports(structs.replace(box, root=Path("/")))
        assert found.verdict is Verdict.BAD
        assert f"{port} plain: taken by" in found.facts[0]
    assert not holders.listening(port)[0]


def test_daemon(box: Box) -> None:
    assert service.daemon(box).verdict is Verdict.NOTE
    well = structs.replace(box, health={"status": "alive", "ready": True, "text": "ready: 0 streams open"}, ready={})
    assert service.daemon(well).facts == ("ready: 0 streams open",)
    deaf = structs.replace(
        box, health={"status": "alive", "ready": False, "crashes": 2, "worries": ["hot: 90 °C"]},
        ready={"reason": "no model is installed"},
    )  # fmt: skip
    assert service.daemon(deaf).verdict is Verdict.BAD
    assert service.daemon(deaf).facts[1:] == (
        "it cannot transcribe: no model is installed", "2 crashes of workers", "hot: 90 °C",
    )  # fmt: skip


def row(state: str, overruns: int = 0) -> Listened:
    return Listened(name="default", state=state, reason="because", overruns=overruns)


@pytest.mark.parametrize(
    ("state", "verdict"), [("ready", "good"), ("muted", "note"), ("absent", "note"), ("busy", "bad"), ("lost", "bad")]
)
def test_what_the_daemon_says_of_its_microphones(box: Box, state: str, verdict: str) -> None:
    seen = structs.replace(box, health={"status": "alive"}, microphones=[row(state)])
    found = sound.microphones(seen)
    assert found.verdict == verdict
    assert f"default (default): {state} (because)" in found.facts


def test_a_microphone_that_was_asked_for_and_is_not_there_is_bad(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[[microphones]]\nname = "desk"\ndevice = "USB"\n')
    seen = structs.replace(box, file=file, health={"status": "alive"}, microphones=[row("absent")])
    assert sound.microphones(seen).verdict is Verdict.BAD
    assert "appliance devices" in sound.microphones(seen).advice


UNLIT = "the microphone lamp cannot be lit: GPIO line NOPE2: not found; no GPIO chip (is it a board?)"


def test_a_lamp_that_cannot_be_lit_is_no_question_of_the_plug(box: Box) -> None:
    dark = Listened(name="default", state="absent", reason=UNLIT)
    found = sound.microphones(structs.replace(box, health={"status": "alive"}, microphones=[dark]))
    assert found.verdict is Verdict.BAD
    assert found.advice == "see hardware/README.md: the line and the wiring"
    assert f"default (default): absent ({UNLIT})" in found.facts


def test_broken_lamps_and_buttons_are_shown(box: Box) -> None:
    worries = ["status lamp: GPIO line NOPE: not found; no GPIO chip", "button: GPIO line GPIO6: busy"]
    line = "; ".join(["ready: 0 streams open", *worries])
    health = {"status": "alive", "ready": True, "text": line, "worries": worries}
    found = service.daemon(structs.replace(box, health=health, ready={}))
    assert found.verdict is Verdict.NOTE
    assert found.facts == ("ready: 0 streams open", *worries)


def test_a_daemon_that_keeps_its_microphones_to_itself(box: Box) -> None:
    found = sound.microphones(structs.replace(box, health={"status": "alive"}))
    assert found.verdict is Verdict.NOTE
    assert found.facts == ("the daemon tells of them on its own machine only",)


def test_overruns_that_nobody_counts_are_not_0(box: Box) -> None:
    uncounted = Listened(name="desk", state="ready", reason="")
    assert sound.overruns(structs.replace(box, microphones=[uncounted])).facts == ("not told by the daemon",)


def test_what_health_page_and_metrics_say() -> None:
    told = [
        {"name": "desk", "state": "ready", "reason": "USB, 16000 Hz", "more": 1},
        {"name": "hall", "state": "absent", "reason": UNLIT},
    ]
    page = (
        'appliance_microphone_overruns_total{microphone="desk"} 3.0\n'
        'appliance_microphone_overruns_total{microphone="attic"} 4.0\n'
    )
    assert listened(told, page) == [
        Listened(name="desk", state="ready", reason="USB, 16000 Hz", overruns=3),
        Listened(name="hall", state="absent", reason=UNLIT),
    ]


def test_overruns(box: Box) -> None:
    assert sound.overruns(structs.replace(box, microphones=[row("ready")])).verdict is Verdict.GOOD
    assert sound.overruns(structs.replace(box, microphones=[row("ready", 7)])).verdict is Verdict.NOTE


def test_who_records(tmp_path: Path) -> None:
    put(tmp_path, "proc/77/cmdline", "arecord\0-D\0hw:1\0--secret\0--more\0")
    (tmp_path / "proc/77/fd").mkdir()
    (tmp_path / "proc/77/fd/3").symlink_to("/dev/snd/pcmC1D0c")
    (tmp_path / "proc/77/fd/4").symlink_to("/dev/snd/pcmC1D0p")
    assert holders.recording(tmp_path) == {77: "arecord -D hw:1 --secret"}


def test_models(tmp_path: Path) -> None:
    broken = tmp_path / "models" / "vosk-model-xx"
    broken.mkdir(parents=True)
    box = made(tmp_path, recognizer={"models_dir": str(broken.parent)})
    found = models.models(box)
    facts = " ".join(found.facts)
    assert "whisper-tiny-en: whisper, en, 41.5 MiB; general English, about 1 word in 20 wrong on clear speech" in facts
    assert "kiosk-words: vosk, en, 1.5 MiB; letters, numbers, months and commands only" in facts
    assert found.verdict is Verdict.BAD
    assert any(fact.startswith("vosk-model-xx: ") for fact in found.facts)
    assert any(fact.startswith("kiosk-words: vosk, en") for fact in found.facts)


def test_speed_as_measured_and_measured_now(tmp_path: Path) -> None:
    box = made(tmp_path, recognizer={"model": "kiosk-words"})
    assert "measured now; it wrote 'six seven eight nine ten'" in models.speed(box).facts[0]
    put(box.config.state_dir, "calibration.json",
        '{"machine": "m", "cores": 4, "models": {"big": {"fingerprint": "f", "cost": 1.5}}}')  # fmt: skip
    assert models.speed(box).facts[0] == "big: real-time factor 1.50 (cores for a stream)"
    assert models.speed(box).verdict is Verdict.NOTE
