"""When words count as invented: every bound of every rule, from both sides."""

import pytest

from appliance.core.plausibility import RECENT, Voice, plausible
from appliance.core.ports import Evidence


def voice(peak):
    made = Voice()
    made.add(peak)
    return made


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "compression", "peak", "spoken"),
    [
        (0.1, -0.2, 1.2, 0.99, True),
        (0.1, -3.0, 9.0, 0.30, True),  # somebody speaks, however badly it is understood
        (0.99, -0.1, 1.2, 0.99, True),  # a sure text is spoken, if the voice detector agrees
        # OpenAI's own rule
        (0.61, -1.01, 1.0, 1.0, False),
        (0.59, -1.01, 1.0, 1.0, True),
        (0.61, -0.99, 1.0, 1.0, True),
        # almost surely nobody
        (0.91, -0.41, 1.0, 1.0, False),
        (0.89, -0.41, 1.0, 1.0, True),
        (0.91, -0.39, 1.0, 1.0, True),
        # the voice detector doubts it too
        (0.51, -0.31, 1.0, 0.79, False),
        (0.49, -0.31, 1.0, 0.79, True),
        (0.51, -0.29, 1.0, 0.79, True),
        (0.51, -0.31, 1.0, 0.81, True),
        # a text that repeats itself
        (0.51, -0.01, 2.5, 1.0, False),
        (0.49, -0.01, 2.5, 1.0, True),
        (0.51, -0.01, 2.3, 1.0, True),
    ],
)
def test_plausible_of_evidence_and_voice(no_speech, log_probability, compression, peak, spoken):
    evidence = Evidence(no_speech=no_speech, log_probability=log_probability, compression=compression, tokens=3)
    assert plausible(evidence, voice(peak)) is spoken


def test_voice_peak_is_the_highest_probability():
    made = Voice()
    assert made.peak == 0.0
    for probability in (0.2, 0.9, 0.4):
        made.add(probability)
    assert made.peak == 0.9


def test_voice_next_utterance_begins_with_recent_frames():
    made = Voice()
    for probability in (0.99, 0.5, 0.6, 0.7, 0.1):
        made.add(probability)
    assert made.recent == (0.5, 0.6, 0.7, 0.1)
    assert len(made.recent) == RECENT
    following = Voice(made.recent)
    assert following.peak == 0.7
    following.add(0.2)
    assert following.peak == 0.7
    assert following.recent == (0.6, 0.7, 0.1, 0.2)
