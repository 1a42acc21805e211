"""The command line. Each command is a module of this package, imported when it is used."""

from __future__ import annotations

import importlib

import click

from appliance import __version__

COMMANDS = {
    "serve": "the daemon: WebSocket APIs and microphones",
    "transcribe": "audio files to text",
    "listen": "a microphone to text, live in the terminal",
    "devices": "the microphones of this machine",
    "models": "model packs: list, install, verify, remove",
    "keys": "API keys: create, list, change, revoke",
    "trust": "whom devices trust for encrypted connections",
    "demo": "prove the main job with speech made on the spot",
    "bench": "measure this machine",
    "doctor": "what this box is, and what is wrong with it",
    "selftest": "prove that the running daemon understands",
    "update": "another version of this program, tried before it is kept",
    "find": "the boxes on this network",
    "setup": "what is written on the box's card, applied",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"appliance.cli.{name}"), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="appliance")
def main() -> None:
    """Offline streaming speech-to-text that speaks the streaming APIs of the clouds."""
