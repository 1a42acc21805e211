"""Which board this is, and what is known of it: a TOML profile per board, chosen by what the device tree says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct, structs

GENERIC = "generic"
"""The profile of a machine that no other one fits."""

PACKAGE = Path(__file__).parents[1]
DEVICE_TREE = Path("proc/device-tree")
DMI = Path("sys/class/dmi/id/product_name")


class ProfileError(Exception):
    """A profile that cannot be used; the message names the file and the key."""


class Lines(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """GPIO lines of the lamps, by the names the kernel gives them; an empty one is no lamp."""

    status: str = ""
    microphone: str = ""
    activity: str = ""


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a kind of board."""

    name: str
    """That of its file."""
    title: str
    compatible: tuple[str, ...] = ()
    """Strings of the device tree's ``compatible``, any of which tells this board."""
    cores: int = 0
    """In the file, 0 means that it is the machine's; a profile that was chosen has a number."""
    memory_mb: int = 0
    """MiB, likewise; boards of one kind are sold with different memories."""
    lamps: Lines = Lines()
    button: str = ""
    """GPIO line of the push button, or empty."""
    models: tuple[str, ...] = ()
    """The packs that suit the board, as in ``appliance models list``, most accurate first."""
    notes: str = ""


def own_folder() -> Path:
    """Where the profiles are: in the package when it is installed, beside it in a checkout."""
    inside = PACKAGE / "hardware"
    return inside if inside.is_dir() else PACKAGE.parent / "hardware"


def profiles(folder: Path | None = None) -> tuple[Profile, ...]:
    """All of them, by name. Raises ``ProfileError``."""
    return tuple(_read(path) for path in sorted((folder or own_folder()).glob("*.toml")))


def named(name: str, root: Path = Path("/"), folder: Path | None = None) -> Profile:
    """The profile called ``name``, with the machine's own figures where it has none. Raises ``ProfileError``."""
    known = {profile.name: profile for profile in profiles(folder)}
    if name not in known:
        raise ProfileError(f"there is no board profile called {name!r}; there are {', '.join(known)}")
    return _completed(known[name], root)


def detect(root: Path = Path("/"), folder: Path | None = None) -> Profile:
    """The profile of the board whose file system is at ``root``; the generic one if none fits. Raises ``ProfileError``.

    The device tree lists itself from the special to the general, and the first string that a profile knows decides.
    """
    known = profiles(folder)
    for compatible in _strings(root / DEVICE_TREE / "compatible"):
        for profile in known:
            if compatible in profile.compatible:
                return _completed(profile, root)
    generic = named(GENERIC, root, folder)
    own = next(iter(_strings(root / DEVICE_TREE / "model") or _strings(root / DMI)), "")
    return structs.replace(generic, title=own) if own else generic


def _read(path: Path) -> Profile:
    try:
        profile = msgspec.toml.decode(path.read_bytes(), type=Profile)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise ProfileError(f"{path}: {error}") from error
    if profile.name != path.stem:
        raise ProfileError(f"{path}: name: expected {path.stem!r}, as the file is called, got {profile.name!r}")
    return profile


def _completed(profile: Profile, root: Path) -> Profile:
    return structs.replace(
        profile, cores=profile.cores or _cores(root), memory_mb=profile.memory_mb or _memory_mb(root)
    )


def _cores(root: Path) -> int:
    """Cores that are online, from a list like "0-3,6"; 1 when the machine does not tell."""
    online = "".join(_strings(root / "sys/devices/system/cpu/online")).strip()
    ranges = [part.split("-") for part in online.split(",") if re.fullmatch(r"\d+(-\d+)?", part)]
    return sum(int(part[-1]) - int(part[0]) + 1 for part in ranges) or 1


def _memory_mb(root: Path) -> int:
    """MiB of memory that the kernel has, 0 when it does not tell."""
    found = re.search(r"^MemTotal: +(\d+) kB$", "".join(_strings(root / "proc/meminfo")), re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def _strings(path: Path) -> list[str]:
    """The strings in a file of the kernel's, which NUL ends if there are several; none when it cannot be read."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return []
    return [part.strip() for part in text.split("\0") if part.strip()]
