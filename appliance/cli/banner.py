"""What ``appliance serve`` prints when it is ready: addresses, and commands that work as they stand. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct

KEY = "KEY"
"""Stands for a key in a command."""


class Ready(Struct, frozen=True, kw_only=True):
    """A daemon that is ready. ``options`` of ``serve`` say where its keys are, as in ``("--state-dir", "/srv")``."""

    url: str
    secure: str = ""
    """The URL with TLS; empty without."""
    microphones: Sequence[str] = ()
    """Names of those that are listened to."""
    implied: bool = False
    """No microphone is configured: ALSA's default one is listened to if there is a card."""
    keys: bool = False
    """Clients need a key."""
    microphone_keys: bool = False
    """Those who listen to microphones need one."""
    options: Sequence[str] = ()


def banner(ready: Ready) -> str:
    """Return the lines, the first of which names the URLs."""
    url, create = ready.url, shlex.join(("appliance", "keys", "create", "NAME", *ready.options))
    rows = [("health", f"curl {url}/readyz")]
    if ready.microphones:
        header = f" -H 'Authorization: Bearer {KEY}'" if ready.microphone_keys else ""
        feed = f"live: ws{url.removeprefix('http')}/v1/microphones/{ready.microphones[0]}"
        note = "none is configured; the default one is used if there is a card" if ready.implied else feed
        rows.append(("microphones", f"curl{header} {url}/v1/microphones   ({note})"))
    rows += [
        ("ElevenLabs", f'ElevenLabs(base_url="{url}", api_key=...)'),
        ("Cartesia", f'Cartesia(base_url="{url}", api_key=...)'),
        ("AssemblyAI v3", f'StreamingClientOptions(api_host="ws{url.removeprefix("http")}", api_key=...)'),
        ("Gnani Vachana", f'GnaniSTTStreamClient(base_url="{url}", api_key=...)'),
        ("and others", "docs/dialects"),
        ("the key", create if ready.keys else "any"),
    ]
    if ready.microphones and ready.microphone_keys:
        rows.append(("to listen", f"{create} --microphones"))
    rows.append(("try it", f"appliance demo --url {url}{f' --key {KEY}' * ready.keys}"))
    lines = [f"  {name:<17} {text}" for name, text in rows]
    secure = f" and {ready.secure}" if ready.secure else ""
    return "\n".join((f"ready on {url}{secure}", *lines, "stop with Ctrl-C"))
