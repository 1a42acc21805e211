"""The API key with which a command asks a running appliance: from the command line, a file, or the daemon itself."""

from __future__ import annotations

import re
from pathlib import Path

import click

from appliance.cli.common import Command, fail

KEY = re.compile(r"[!-~]+")
"""What can be in a header (RFC 9110, 5.5), which is where a key goes: never into a URL, which ends up in logs."""


def key_options(command: Command) -> Command:
    """``--key --key-file``: of a running appliance."""
    for option in (
        click.option("--key-file", type=click.Path(path_type=Path), help="With --url: a file that holds the API key."),
        click.option(
            "--key", help="With --url: the API key. Other users of this machine can see it: prefer --key-file."
        ),
    ):
        command = option(command)
    return command


def headers(key: str | None, file: Path | None, otherwise: str = "") -> dict[str, str]:
    """Return the header with the key, or no header without one. End the program when the key cannot be used.

    ``otherwise`` is the key to use when none is given. No message repeats a key.
    """
    from appliance.doctor.box import named_key

    if key is not None and file is not None:
        fail("--key and --key-file exclude each other; give one of them", 2)
    try:
        chosen = named_key(file) if file else otherwise if key is None else key.strip()
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)
    except ValueError as error:
        fail(str(error), 2)
    if chosen and not KEY.fullmatch(chosen):
        fail("the key has characters that no key has; it is what appliance keys create printed", 2)
    return {"Authorization": f"Bearer {chosen}"} if chosen else {}


def own(url: str) -> str:
    """Return the key that the daemon on this machine keeps for its self-test, else one for a device without keys."""
    from appliance.doctor.box import ANY, own_key

    try:
        return own_key(url)
    except PermissionError:
        return ANY


def refused(status: int, body: bytes) -> str:
    """Return the reason in the answer of a device that refuses a request, and where keys come from."""
    import msgspec

    try:
        said = msgspec.json.decode(body, type=dict[str, object])
        text = str(said.get("message") or said.get("error") or status)
    except (msgspec.MsgspecError, RecursionError):
        text = f"HTTP status {status}"
    if status == 401:
        text += "; give a key that may with --key-file or --key: appliance keys create NAME"
    return text
