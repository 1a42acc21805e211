"""Each recogniser that comes with the software writes the canary as it is, through the whole session."""

from __future__ import annotations

import numpy as np
import pytest

from appliance import canary
from appliance.canary import RATE
from appliance.core.events import Cause, Final
from appliance.core.options import SessionOptions
from appliance.core.session import Session
from appliance.engines.registry import detector, load
from tests.box import kiosk, whisper


def test_it_is_short_loud_and_ends_in_silence() -> None:
    phrase = canary.load()
    assert phrase.samples.dtype == np.int16
    assert 3 * RATE <= len(phrase.samples) <= 6 * RATE
    assert canary.FILE.stat().st_size < 200_000
    assert 2.0 < phrase.speech_end_s < len(phrase.samples) / RATE - 1.2
    assert 8_000 < np.abs(phrase.samples.astype(np.int32)).max() < 32_000


@pytest.mark.parametrize("offset", [0, 237])
@pytest.mark.parametrize("gain", [1.0, 0.2])
@pytest.mark.parametrize("spec", [kiosk(), whisper()], ids=lambda spec: spec.name)
def test_the_embedded_recognisers_write_it(spec, offset: int, gain: float) -> None:
    phrase = canary.load()
    heard = np.concatenate([np.zeros(offset, np.int16), (phrase.samples * gain).astype(np.int16)])
    session = Session(SessionOptions(), load(spec), detector("silero").stream())
    finals = []
    for at in range(0, len(heard), 1_600):
        finals += [event for event in session.push(heard[at : at + 1_600].tobytes()) if isinstance(event, Final)]
    session.close()
    assert [final.cause for final in finals] == [Cause.SILENCE]
    assert canary.same(phrase.text, finals[0].text), finals[0].text


@pytest.mark.parametrize(
    ("heard", "same"),
    [
        ("six seven eight nine ten", True),
        ("Six, seven, eight, nine, ten.", True),
        ("6, 7, 8, 9, 10.", True),
        ("678910", True),
        ("6 7 8 9", False),
        ("six seven eight nine tent", False),
        ("", False),
    ],
)
def test_numbers_in_words_and_digits_are_the_same(heard: str, same: bool) -> None:
    assert canary.same(canary.TEXT, heard) is same
