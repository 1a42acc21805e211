"""What is said of a recording: quiet, loud, clipped, dead, noisy."""

from __future__ import annotations

import numpy as np
import pytest

from appliance import canary
from appliance.doctor.findings import Finding, Verdict
from appliance.doctor.listen import Heard, Taken, blocks, hear, judge
from appliance.engines.registry import detector, load
from tests.box import kiosk

PHRASE = canary.load().samples
SPOKEN = tuple(0.75 < at * 0.032 < 2.2 for at in range(len(PHRASE) // 512))


def taken(samples: np.ndarray, overruns: int = 0) -> Taken:
    whole = np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)
    return Taken(samples=whole, rate=16_000, card="card", overruns=overruns)


def noisy(gain: float, noise: float = 10.0, offset: float = 0.0) -> np.ndarray:
    return PHRASE * gain + np.random.default_rng(1).normal(0, noise, len(PHRASE)) + offset


def found(recording: Taken, text: str = "six", voice: tuple[bool, ...] = SPOKEN) -> dict[str, Finding]:
    return {each.title: each for each in judge(recording, Heard(voice=voice, text=text, model="m"))}


@pytest.mark.parametrize(
    ("recording", "title", "verdict", "words"),
    [
        (taken(noisy(0.5)), "level", "good", "speech -"),
        (taken(noisy(0.06)), "level", "note", "rather quiet"),
        (taken(noisy(0.01)), "level", "bad", "too quiet"),
        (taken(PHRASE * 0), "level", "bad", "digital silence"),
        (taken(noisy(0.5)), "noise", "good", "speech stands 5"),
        (taken(noisy(0.5, 700)), "noise", "note", "noisy"),
        (taken(noisy(0.5)), "clipping", "good", "none"),
        (taken(noisy(8.0)), "clipping", "bad", "loud speech is cut off"),
        (taken(noisy(0.5)), "offset", "good", "DC offset 0.0"),
        (taken(noisy(0.5, offset=2_000)), "offset", "note", "not centred"),
        (taken(noisy(0.5, offset=2_000)), "noise", "good", "speech stands 5"),
        (taken(noisy(0.5)), "overruns", "good", "none"),
        (taken(noisy(0.5), overruns=3), "overruns", "note", "lost 3 times"),
        (taken(noisy(0.5)), "speech", "good", "m wrote: six"),
    ],
)
def test_verdicts(recording: Taken, title: str, verdict: str, words: str) -> None:
    finding = found(recording)[title]
    assert finding.verdict == verdict
    assert words in "; ".join(finding.facts)
    assert finding.advice or verdict != "bad"


def test_the_loudness_is_what_it_is() -> None:
    sine = np.sin(np.arange(16_000) * 2 * np.pi * 300 / 16_000) * 16_384
    assert found(taken(sine))["level"].facts[0] == "peak -6.0 dBFS, average -9.0 dBFS"
    assert len(blocks(taken(sine).samples, 16_000)) == 20


def test_nobody_spoke_and_nothing_was_understood() -> None:
    silent = found(taken(noisy(0.5)), voice=(False,) * len(SPOKEN))["speech"]
    assert silent.verdict is Verdict.NOTE
    assert "alsamixer" in silent.advice
    assert found(taken(noisy(0.5)), text="")["speech"].facts[-1] == "speech, but no words"


def test_without_any_audio() -> None:
    assert found(taken(PHRASE[:0]))["level"].verdict is Verdict.BAD


def test_a_glance_at_silence_is_no_proof() -> None:
    assert {each.verdict for each in judge(taken(PHRASE[:0]))} == {Verdict.GOOD, Verdict.NOTE}


def test_the_session_hears_it() -> None:
    heard = hear(taken(noisy(0.5, 0.0)), load(kiosk()), detector("silero"))
    assert heard.text == canary.TEXT
    assert heard.model == "kiosk-words"
    assert 0.2 < sum(heard.voice) / len(heard.voice) < 0.7
