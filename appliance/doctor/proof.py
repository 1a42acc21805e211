"""Whether a program that is tried writes the right words, and could be replaced in its turn."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from appliance import canary, interpreter
from appliance.config import Config
from appliance.doctor.box import address, get, own_key
from appliance.doctor.selftest import NOT_NOW, Answer, play
from appliance.scheduling import figures
from appliance.update.trial import Proof, Shown

PATIENCE_S = 20.0
"""For the words after the end of the phrase: twice the self-test's, for a box that has just started."""
COMMAND_S = 60.0


class Prover:
    """``words`` and the rest are as they were before the trial: what the new program measures does not vouch for it."""

    def __init__(self, config: Config) -> None:
        self._url = address(config)
        self._words = figures.load(config.state_dir / figures.FILE)
        self._phrase = canary.load()

    def __call__(self, tree: Path) -> Shown:
        """Let the daemon write once, and the command of ``tree`` say how updates stand."""
        try:
            if not get(f"{self._url}/readyz").get("ready"):
                return Shown(Proof.NONE, "it is not ready")
            key = own_key(self._url)
        except (OSError, ValueError) as error:
            return Shown(Proof.NONE, f"it does not answer: {error}")
        answer = asyncio.run(play(self._url, key, self._phrase, PATIENCE_S))
        heard = self._words.get(answer.model)
        wanted = [self._phrase.text] if answer.language == "en" else []
        shown = judged(answer, [*wanted, *([heard.heard] if heard and heard.heard else [])])
        if shown.proof is Proof.GOOD and not _answers(tree):
            return Shown(Proof.BAD, "its own command does not work, so it could not be updated again")
        return shown


def judged(answer: Answer, wanted: list[str]) -> Shown:
    """Right are the words that it wrote before, or those that were spoken. Where nobody knows them, any. Pure."""
    if answer.refused in NOT_NOW:
        return Shown(Proof.NONE, f"the box is busy: {answer.problem}")
    if answer.problem:
        return Shown(Proof.BAD, answer.problem)
    right = any(canary.same(each, answer.text) for each in wanted) if wanted else bool(answer.text)
    if right:
        return Shown(Proof.GOOD, f"{answer.model} wrote {answer.text!r}")
    instead = f" and not {wanted[-1]!r}" if wanted else ""
    return Shown(Proof.BAD, f"{answer.model} wrote {answer.text!r}{instead}")


def _answers(tree: Path) -> bool:
    command = interpreter.command("appliance", "update", "--status", "--json")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    try:
        return not subprocess.run(
            command, env=environment, capture_output=True, timeout=COMMAND_S, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
