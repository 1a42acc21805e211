"""Opening a card while the daemon does not run: by its rules, that is not on a muted box and not in the dark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from appliance import parts
from appliance.board.panel import Panel
from appliance.capture.devices import CaptureError
from appliance.capture.microphone import Guard
from appliance.config import Config


class Shut(CaptureError):
    """No card may be opened now; ``advice`` is what to do."""

    def __init__(self, reason: str, advice: str) -> None:
        self.advice = advice
        super().__init__(reason)


@contextlib.contextmanager
def opened(config: Config) -> Iterator[Guard]:
    """The microphone lamp, where there is one, is lit meanwhile; what is given is the guard of cards that are opened.

    Raises ``Shut`` when the lamp cannot be lit, when the microphones are muted, or when nobody can tell.
    """
    try:
        (config.state_dir / "muted").stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Shut(f"whether the microphones are muted cannot be told: {error.strerror}", "run this as root") from error
    else:
        raise Shut("the microphones are muted", "press the button while the service runs")
    panel = Panel(parts.lamps(config.lights, parts.profile(config.board)))
    try:
        if reason := panel.opening():
            raise Shut(reason, "see hardware/README.md: the line and the wiring")
        yield panel
    finally:
        panel.close()
