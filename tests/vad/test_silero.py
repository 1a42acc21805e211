import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.vad.silero import FRAME, SileroModel
from tests.material import shared
from tests.sound import noise

FRAMES = 100


@pytest.fixture(scope="module")
def model():
    return SileroModel()


def loud_and_quiet():
    """Noise that swells and fades like syllables: the probabilities are anything but constant."""
    samples = noise((True, FRAMES * FRAME)).astype(float)
    return (samples * np.abs(np.sin(np.arange(len(samples)) / 2_000)) ** 4).astype(np.int16).reshape(-1, FRAME)


def recording():
    with wave.open(str(shared("speech", "wav", "an4", "cen7-fsrb-b.wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)


def grouped(model, frames, cuts):
    detector = model.stream()
    edges = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
    return [p for a, b in zip(edges, edges[1:], strict=False) for p in detector.probabilities(frames[a:b])]


@pytest.mark.parametrize("source", [loud_and_quiet, recording])
def test_grouping_changes_no_bit(model, source):
    frames = source()
    whole = grouped(model, frames, [])

    @settings(max_examples=20)
    @given(st.lists(st.integers(0, len(frames)), max_size=20))
    def check(cuts):
        assert grouped(model, frames, cuts) == whole

    check()
    assert grouped(model, frames, range(len(frames))) == whole
    assert all(0 <= p <= 1 for p in whole)
    assert len(set(whole)) > len(whole) // 2


def test_streams_know_nothing_of_each_other(model):
    frames = loud_and_quiet()
    alone = model.stream().probabilities(frames)
    one, other, together = model.stream(), model.stream(), []
    for row in frames:
        together += one.probabilities(row[None])
        other.probabilities(row[None] // 3)
    assert together == alone


def test_it_remembers(model):
    frames = loud_and_quiet()
    detector = model.stream()
    first = detector.probabilities(frames)
    assert detector.probabilities(frames) != first


def test_no_frames_no_probabilities(model):
    assert model.stream().probabilities(np.empty((0, FRAME), np.int16)) == []


def test_speech_is_told_from_silence_and_noise(model):
    spoken = np.array(grouped(model, recording(), []))
    assert (spoken > 0.5).mean() > 0.5
    for quiet in (np.zeros((30, FRAME), np.int16), noise((False, 30 * FRAME)).reshape(-1, FRAME)):
        assert max(model.stream().probabilities(quiet)) < 0.3
