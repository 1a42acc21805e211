"""Boards told apart by what their device trees say, on file systems made for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.board import detect as module
from appliance.board.detect import GENERIC, Lines, Profile, ProfileError, detect, named, profiles
from appliance.engines.registry import ENGINES
from appliance.packs import catalogue
from appliance.packs.selection import EMBEDDED

README = Path(__file__).parents[2] / "hardware" / "README.md"

# compatible and model as the boards have them
BOARDS = {
    "pi-zero-2-w": ("raspberrypi,model-zero-2-w\0brcm,bcm2837\0", "Raspberry Pi Zero 2 W Rev 1.0\0"),
    "pi-3b-plus": ("raspberrypi,3-model-b-plus\0brcm,bcm2837\0", "Raspberry Pi 3 Model B Plus Rev 1.3\0"),
    "pi-4b": ("raspberrypi,4-model-b\0brcm,bcm2711\0", "Raspberry Pi 4 Model B Rev 1.4\0"),
    "pi-5": ("raspberrypi,5-model-b\0brcm,bcm2712\0", "Raspberry Pi 5 Model B Rev 1.0\0"),
    "jetson-orin-nano": (
        "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    ),
}


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = (
            root
            / {
                "compatible": "proc/device-tree/compatible",
                "model": "proc/device-tree/model",
                "dmi": "sys/class/dmi/id/product_name",
                "online": "sys/devices/system/cpu/online",
                "meminfo": "proc/meminfo",
            }[name]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_known_by_its_device_tree(tmp_path: Path, name: str) -> None:
    compatible, model = BOARDS[name]
    found = detect(machine(tmp_path, compatible=compatible, model=model))
    assert found.name == name
    assert found.lamps.microphone
    assert found.button


def test_the_3b_shares_a_profile_with_the_3b_plus(tmp_path: Path) -> None:
    assert detect(machine(tmp_path, compatible="raspberrypi,3-model-b\0brcm,bcm2837\0")).name == "pi-3b-plus"


def test_another_board_is_generic_under_its_own_name(tmp_path: Path) -> None:
    found = detect(
        machine(
            tmp_path,
            compatible="radxa,rock-5b\0rockchip,rk3588\0",
            model="Radxa ROCK 5B\0",
            online="0-3,6,8-9\n",
            meminfo="MemTotal:       16218884 kB\nMemFree:         1024 kB\n",
        )
    )
    assert (found.name, found.title) == (GENERIC, "Radxa ROCK 5B")
    assert (found.cores, found.memory_mb) == (7, 15838)
    assert (found.lamps, found.button) == (Lines(), "")


def test_a_pc_is_called_what_its_firmware_says(tmp_path: Path) -> None:
    assert detect(machine(tmp_path, dmi="NUC7i3BNH\n")).title == "NUC7i3BNH"


def test_a_machine_that_tells_nothing_is_generic(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert (found.name, found.cores, found.memory_mb) == (GENERIC, 1, 0)


def test_this_machine_has_a_profile() -> None:
    found = detect()
    assert found.cores >= 1
    assert found.memory_mb > 100


def test_a_board_sold_with_several_memories_has_the_one_it_has(tmp_path: Path) -> None:
    root = machine(tmp_path, compatible="raspberrypi,4-model-b\0", meminfo="MemTotal:        3884104 kB\n")
    assert detect(root).memory_mb == 3793
    assert detect(machine(tmp_path, compatible="raspberrypi,model-zero-2-w\0")).memory_mb == 512


def test_a_profile_can_be_asked_for_by_name(tmp_path: Path) -> None:
    assert named("pi-5", tmp_path).title == "Raspberry Pi 5"
    with pytest.raises(ProfileError, match="no board profile called 'pi-9'; there are generic, "):
        named("pi-9", tmp_path)


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile.name)
def test_what_we_ship_fits_together(profile: Profile) -> None:
    lines = [profile.lamps.status, profile.lamps.microphone, profile.lamps.activity, profile.button]
    used = [line for line in lines if line]
    assert len(set(used)) == len(used)
    assert profile.models
    assert len(set(profile.models)) == len(profile.models)
    assert all(catalogue.named(name).engine in ENGINES for name in profile.models)
    assert EMBEDDED in profile.models
    assert catalogue.KIOSK not in profile.models
    assert bool(profile.compatible) is (profile.name != GENERIC)


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile.name)
def test_the_owner_s_tables_say_what_the_profiles_do(profile: Profile) -> None:
    text = README.read_text(encoding="utf-8")
    for words, line in (
        ("microphone lamp", profile.lamps.microphone),
        ("status lamp", profile.lamps.status),
        ("activity lamp", profile.lamps.activity),
        ("button", profile.button),
    ):
        assert not line or re.search(rf"^\| {words}[^|]* \| {line} \|", text, re.MULTILINE)
    choice = profile.models[0]
    memory = {0: "what is there", 512: "512 MB", 1024: "1 GB"}[profile.memory_mb]
    cores = profile.cores or "what is there"
    assert re.search(rf"^\| `{profile.name}` \|.*\| {cores} \| {memory} \| {choice} \|$", text, re.MULTILINE)


def test_no_two_profiles_claim_one_board() -> None:
    claims = [compatible for profile in profiles() for compatible in profile.compatible]
    assert len(set(claims)) == len(claims)
    assert not [claim for claim in claims if claim.startswith("brcm,") or claim == "nvidia,tegra234"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "x"\ntitle = "X"\nlamp = "GPIO1"\n', "unknown field `lamp`"),
        ('name = "x"\ntitle = "X"\n[lamps]\nred = "GPIO1"\n', r"unknown field `red` - at `\$.lamps`"),
        ('name = "x"\ntitle = "X"\ncores = "4"\n', r"Expected `int`, got `str` - at `\$.cores`"),
        ('name = "y"\ntitle = "X"\n', "name: expected 'x', as the file is called, got 'y'"),
        ("name = \n", "x.toml: "),
        ('name = "x"\n', "missing required field `title`"),
    ],
)
def test_a_bad_profile_is_an_error_that_names_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ProfileError, match=rf"x\.toml: .*{expected.removeprefix('x.toml: ')}"):
        profiles(tmp_path)


def test_the_installed_package_s_own_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "appliance")
    assert module.own_folder() == tmp_path / "hardware"
    (tmp_path / "appliance" / "hardware").mkdir(parents=True)
    assert module.own_folder() == tmp_path / "appliance" / "hardware"
