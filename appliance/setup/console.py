"""What the screen shows before anybody logs in, which nobody can, and what the card says of mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.setup.problem import Problem

ISSUE = "/run/issue.d/appliance.issue"
ERRORS = "appliance-errors.txt"
SHOWN = 12
"""Problems on a screen of 25 lines; the card has them all."""


def issue(host: str, port: int, key: str | None, problems: Sequence[Problem]) -> str:
    r"""For agetty(8), which puts the machine's address in the place of ``\4``."""
    lines = [
        f"speech appliance {host}",
        f"  http://{host}.local:{port}",
        r"  address: \4",
        "",
    ]
    if key:
        lines += [
            f"  API key: {key}",
            "  (in appliance-key.txt on the card; delete that file and it is not shown here)",
            "",
        ]
    if problems:
        lines += ["  Not all of what is on the card could be used:"]
        lines += [f"    {_plain(problem)}" for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines += [f"    and {len(problems) - SHOWN} more: {ERRORS} on the card"]
        lines += [""]
    return "\n".join(lines) + "\n"


def errors(problems: Sequence[Problem]) -> str:
    """The page on the card."""
    return (
        "What could not be used at the last start of the box. Lines are those of appliance.txt; its others count.\n"
        "Correct them and start the box again: this file goes away by itself.\n"
        "\n" + "".join(f"{problem}\n" for problem in problems)
    )


def _plain(problem: Problem) -> str:
    r"""A backslash would be an order to agetty, and the console knows few characters."""
    return str(problem).encode("ascii", errors="replace").decode().replace("\\", "/")
