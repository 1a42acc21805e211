"""The service, as the updater sees it through systemd. What it says when systemd is not there is a sentence."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from appliance.update.manifest import NotTaken

UNIT = "appliance.service"
TRIAL_UNIT = "appliance-trial.service"
RUNS = Path("/run/systemd/system")
"""Exists where systemd is the first process (sd_booted(3))."""
ASK_S = 30.0
LOOK_S = 0.5
"""Between two looks at what the trial does."""


class State(Struct, frozen=True):
    """``run`` changes with every start of the unit."""

    active: str = ""
    sub: str = ""
    run: str = ""
    result: str = ""
    said: str = ""

    @property
    def over(self) -> bool:
        """It has ended, or is being started anew because it has."""
        return self.active in ("inactive", "failed") or self.sub == "auto-restart"


class Service(Protocol):
    """What a trial needs; a test has its own."""

    def state(self) -> State: ...

    def restart(self) -> None: ...


class Systemd:
    """The real one. Raises ``NotTaken`` when it does not answer."""

    def state(self) -> State:
        """How the unit is now."""
        names = {
            "ActiveState": "active",
            "SubState": "sub",
            "InvocationID": "run",
            "Result": "result",
            "StatusText": "said",
        }
        told = _systemctl("show", UNIT, f"--property={','.join(names)}").stdout
        found = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return State(**{field: found.get(name, "") for name, field in names.items()})

    def restart(self, *, only_if_it_runs: bool = False) -> None:
        """Ask for it; it takes as long as it takes."""
        _systemctl("try-restart" if only_if_it_runs else "restart", "--no-block", UNIT, check=True)


def require() -> None:
    """Raises ``NotTaken`` where an update could not be tried."""
    if not RUNS.is_dir():
        raise NotTaken("systemd does not run here: an update is tried by its service, and cannot be tried")
    if Systemd().state().active == "inactive":
        raise NotTaken(f"the service is stopped, and an update is tried by running it: systemctl start {UNIT}")


def start_trial(meanwhile: Callable[[], None]) -> None:
    """Have the trial made by a unit of its own, which goes on when we are killed; returns when it has ended."""
    process = subprocess.Popen(["systemctl", "start", TRIAL_UNIT], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        meanwhile()
        time.sleep(LOOK_S)


def _systemctl(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotTaken(f"systemd cannot be asked: {error}") from error
    if check and done.returncode:
        raise NotTaken(f"systemd refuses: {done.stderr.strip()}")
    return done
