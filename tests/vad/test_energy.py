import numpy as np
import pytest

from appliance.vad.energy import FRAME, EnergyModel


@pytest.mark.parametrize(
    ("floor", "amplitude", "voice"),
    [
        (-45, 0, 0.0),
        (-45, 183, 0.0),
        (-45, 185, 1.0),
        (-45, -185, 1.0),
        (-45, -32768, 1.0),
        (-20, 3276, 0.0),
        (-20, 3278, 1.0),
    ],
)
def test_level_alone_decides(floor, amplitude, voice):
    frames = np.full((2, FRAME), amplitude, np.int16)
    assert EnergyModel(floor).stream().probabilities(frames) == [voice, voice]


def test_each_frame_speaks_for_itself():
    frames = np.zeros((4, FRAME), np.int16)
    frames[1] = frames[2] = 8_000
    detector = EnergyModel().stream()
    assert detector.probabilities(frames) == [0, 1, 1, 0]
    assert detector.probabilities(frames[3:]) == [0]
    assert detector.probabilities(frames[:0]) == []
