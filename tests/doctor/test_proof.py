"""What proves a new program: the words that the old one wrote, or those that were spoken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appliance.core.problems import Kind
from appliance.doctor.proof import Prover, _answers, judged
from appliance.doctor.selftest import Answer
from appliance.update.trial import Proof
from tests.box import box, fake, kiosk, run

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("answer", "wanted", "proof", "words"),
    [
        ({"text": "six seven"}, ["six seven"], Proof.GOOD, "m wrote 'six seven'"),
        ({"text": "six seven"}, ["six seven", "sick seven"], Proof.GOOD, "m wrote"),
        ({"text": "sick seven"}, ["six seven", "sick seven"], Proof.GOOD, "m wrote"),
        ({"text": "six"}, ["six seven", "sick seven"], Proof.BAD, "m wrote 'six' and not 'sick seven'"),
        ({"text": ""}, ["six"], Proof.BAD, "m wrote '' and not 'six'"),
        ({"text": "irgendwas"}, [], Proof.GOOD, "m wrote 'irgendwas'"),
        ({"text": ""}, [], Proof.BAD, "m wrote ''"),
        ({"text": "six", "problem": "no answer"}, ["six"], Proof.BAD, "no answer"),
        ({"refused": Kind.TOO_MANY_STREAMS, "problem": "all taken"}, ["six"], Proof.NONE, "the box is busy: all taken"),
        ({"refused": Kind.BAD_KEY, "problem": "who are you"}, ["six"], Proof.BAD, "who are you"),
    ],
)
def test_what_the_words_prove(answer: dict[str, Any], wanted: list[str], proof: Proof, words: str) -> None:
    shown = judged(Answer(model="m", **answer), wanted)
    assert (shown.proof, shown.line.startswith(words)) == (proof, True)


@pytest.mark.parametrize(("model", "proof"), [(kiosk, Proof.GOOD), (fake, Proof.BAD)])
def test_a_running_daemon_proves_itself(model: Any, proof: Proof) -> None:
    """The fake engine writes other words than were spoken."""

    async def work() -> None:
        async with box(model()) as daemon:
            assert daemon.bound is not None
            server = structs.replace(daemon.config.server, port=daemon.bound[1])
            prover = Prover(structs.replace(daemon.config, server=server))
            shown = await asyncio.to_thread(prover, CHECKOUT)
            assert shown.proof is proof, shown.line

    run(work)


def test_a_daemon_that_does_not_answer_proves_nothing(tmp_path: Path) -> None:
    from appliance.config import load

    shown = Prover(load(None, {"server": {"port": 9, "state_dir": str(tmp_path)}}))(CHECKOUT)
    assert shown.proof is Proof.NONE
    assert shown.line.startswith("it does not answer: ")


def test_a_program_that_could_not_be_updated_again(tmp_path: Path) -> None:
    (tmp_path / "appliance").mkdir()
    (tmp_path / "appliance" / "__init__.py").write_text("raise SystemExit(1)")
    assert not _answers(tmp_path)
    assert _answers(CHECKOUT)
