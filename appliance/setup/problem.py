"""What is wrong with what the owner wrote, or could not be done, in words for him. No secret is ever in one."""

from __future__ import annotations

from msgspec import Struct


class Wrong(Exception):
    """A value that cannot be taken; the message says what would be right, without the value where it is a secret."""


class Problem(Struct, frozen=True):
    """A sentence, with the line of ``appliance.txt`` that it is about."""

    text: str
    line: int | None = None
    failure: bool = False
    """Something failed that the owner did not write."""

    def __str__(self) -> str:
        return self.text if self.line is None else f"line {self.line}: {self.text}"
