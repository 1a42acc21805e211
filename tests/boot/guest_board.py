"""The simulated board of a guest: what its lamps show, its button, its sound card."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import Future

from msgspec import Struct

from appliance.board.lights import STATUS, Pattern, State
from tests.boot.qemu import Guest, GuestError

STATUS_LINE, MICROPHONE_LINE, ACTIVITY_LINE, BUTTON_LINE = "GPIO17", "GPIO27", "GPIO22", "GPIO23"
HERE = "/usr/lib/boot-test"
CARD = "/proc/asound/card0/pcm1c/sub0/status"
BUTTON = f"/run/header/sim_gpio{BUTTON_LINE.removeprefix('GPIO')}/pull"


class Seen(Struct, frozen=True):
    """What ``guest/watch.py`` prints."""

    samples: int
    longest_s: float
    changes: list[tuple[float, dict[str, bool]]]
    dark_s: list[tuple[float, float]]
    seconds: float = 0.0

    def lit(self, line: str) -> float:
        """Share of the time that the line was high."""
        ends = [at for at, _ in self.changes[1:]] + [self.seconds]
        return sum(end - at for (at, state), end in zip(self.changes, ends, strict=True) if state[line]) / self.seconds

    def rises(self, line: str) -> float:
        """Times a second that the line went high."""
        levels = [state[line] for _, state in self.changes]
        return sum(after and not before for before, after in zip(levels, levels[1:], strict=False)) / self.seconds

    def ever(self, line: str) -> set[bool]:
        """The levels that the line had."""
        return {state[line] for _, state in self.changes}

    def within(self, start: float, seconds: float) -> Seen:
        """A part of it, in seconds from the beginning."""
        before = [state for at, state in self.changes if at <= start]
        later = [(at - start, state) for at, state in self.changes if start < at < start + seconds]
        begin = [(0.0, before[-1])] if before else []
        return Seen(self.samples, self.longest_s, begin + later, self.dark_s, seconds)

    def shown(self, line: str = STATUS_LINE, seconds: float = 2.0) -> set[State]:
        """All states whose patterns were shown for so long."""
        starts = range(int(self.changes[0][0]) + 1, int(self.seconds - seconds))
        return {self.within(start, seconds).shows(line) for start in starts}

    def shows(self, line: str = STATUS_LINE) -> State:
        """The state whose pattern this is most like."""
        return min(STATUS, key=lambda state: _distance(STATUS[state], self.lit(line), self.rises(line)))


class Board:
    """Hardware of the guest, from outside."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def watch(self, seconds: float) -> Future[Seen]:
        """Look at the lamps and the card, many times a second, with a priority above all that computes."""
        asked = self.guest.start(
            f"exec chrt -f 10 python3 {HERE}/watch.py {seconds} {MICROPHONE_LINE} {STATUS_LINE} {ACTIVITY_LINE}",
            seconds + 60,
        )
        seen: Future[Seen] = Future()

        def done(answer: Future[tuple[int, str]]) -> None:
            try:
                code, output = answer.result()
                if code:
                    raise GuestError(output)
                seen.set_result(Seen(**json.loads(output), seconds=seconds))
            except BaseException as error:
                seen.set_exception(error)

        asked.add_done_callback(done)
        return seen

    def look(self, seconds: float = 6.0) -> Seen:
        """The same, and wait."""
        return self.watch(seconds).result(seconds + 90)

    def plug_in(self) -> None:
        """The card appears: what is played on hw:0,0 is heard on hw:0,1."""
        self.guest.run(
            "if [ -e /sys/bus/platform/devices/snd_aloop.0 ]; then "
            "echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind; "
            "else modprobe snd-aloop index=0 pcm_substreams=1; fi"
        )

    def pull_out(self) -> None:
        """The card vanishes, held or not."""
        self.guest.run("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind")

    def wait_card(self, *, is_open: bool, limit_s: float = 60.0) -> float:
        """Until somebody holds the card for half a second, or nobody does; how long that took, in seconds."""
        began = time.monotonic()
        wanted = "closed" if not is_open else "open"
        self.guest.run(
            f"""for i in $(seq {int(limit_s * 5)}); do
                read -r state <{CARD} || state=closed; [ "$state" = closed ] || state=open
                if [ $state = {wanted} ]; then same=$((same + 1)); else same=0; fi
                [ $same -ge 3 ] && exit 0; sleep 0.2
            done 2>/dev/null; exit 1""",
            limit_s * 4,
        )
        return time.monotonic() - began

    def speak(self, limit_s: float = 60.0) -> None:
        """The sentence is played into the room."""
        self.guest.run(f"aplay -q -D plughw:0,0 {HERE}/sentence.wav", limit_s)

    def press(self, seconds: float) -> None:
        """Hold the button down for so long, from now on; does not wait."""
        self.guest.start(f"echo pull-down >{BUTTON}; sleep {seconds}; echo pull-up >{BUTTON}")


def _distance(pattern: Pattern, lit: float, rises: float) -> float:
    """How unlike a pattern is to what was seen: its share of light, and how often it lights up."""
    total = sum(ms for _, ms in pattern)
    share = sum(ms for on, ms in pattern if on) / total
    edges = sum(on and not pattern[number - 1][0] for number, (on, _) in enumerate(pattern)) * 1000 / total
    return math.hypot(4 * (share - lit), math.log2((edges + 0.25) / (rises + 0.25)))
