"""Runs inside the guest: samples GPIO lines and the state of the card, and prints what changed and when, as JSON.

usage: watch.py SECONDS LAMP_LINE [LINE...]

{"samples", "longest_s": between two samples, "changes": [[s, {"card": bool, LINE: level}]], "dark_s": [[from, to]]}

``dark_s`` are the stretches in which the card was open, as seen before and after looking, while LAMP_LINE was low.
"""

from __future__ import annotations

import json
import os
import sys
import time

HEADER = "/run/header/sim_gpio{}/value"
CAPTURE = "/proc/asound/card0/pcm1c/sub0/status"
PAUSE_S = 0.004


def read(path: str) -> bytes:
    """The beginning of a file of the kernel's; empty when it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 64)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def card_open() -> bool:
    """Whether anybody holds the capture device."""
    return read(CAPTURE)[:6] not in (b"closed", b"")


def main() -> None:
    seconds, lines = float(sys.argv[1]), sys.argv[2:]
    pins = {line: HEADER.format(line.removeprefix("GPIO")) for line in lines}
    began = last = time.monotonic()
    changes: list[tuple[float, dict[str, bool]]] = []
    dark: list[list[float]] = []
    samples, longest, in_the_dark = 0, 0.0, False
    was_open = card_open()
    while last - began < seconds:
        state = {line: read(pin)[:1] == b"1" for line, pin in pins.items()}
        is_open = card_open()
        now = time.monotonic()
        longest, last, samples = max(longest, now - last), now, samples + 1
        if was_open and is_open and not state[lines[0]]:
            if in_the_dark:
                dark[-1][1] = round(now - began, 4)
            else:
                dark.append([round(now - began, 4)] * 2)
            in_the_dark = True
        else:
            in_the_dark = False
        was_open = is_open
        state["card"] = is_open
        if not changes or changes[-1][1] != state:
            changes.append((round(now - began, 4), state))
        time.sleep(PAUSE_S)
    print(json.dumps({"samples": samples, "longest_s": round(longest, 4), "changes": changes, "dark_s": dark}))


if __name__ == "__main__":
    main()
