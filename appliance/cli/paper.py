"""Words on the terminal as they come."""

from __future__ import annotations

import sys

import click


class Paper:
    """Finals as lines on standard output; on a terminal the partial is rewritten in place before its final."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = 0

    def write(self, kind: str, text: str) -> None:
        """Write the text of an event of this kind, if it is one that is written."""
        if kind == "partial" and self._live:
            click.echo("\r" + text.ljust(self._shown), nl=False)
            self._shown = len(text)
        elif kind == "final":
            click.echo(("\r" if self._shown else "") + text.ljust(self._shown))
            self._shown = 0

    def note(self, text: str) -> None:
        """Write a remark on standard error."""
        click.echo(f"[{text}]", err=True)
