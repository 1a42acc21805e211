"""The incremental spectrogram against a computation over the whole signal, written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import RATE
from appliance.engines.whisper.features import HOP, WINDOW, Spectrogram, hann, mel_filters


def signal(samples: int, seed: int = 0) -> np.ndarray:
    """A chirp in noise with a silent middle."""
    generator = np.random.default_rng(seed)
    at = np.arange(samples) / RATE
    sound = 6_000 * np.sin(2 * np.pi * (200 + 900 * at) * at) + generator.normal(0, 300, samples)
    sound[samples // 3 : samples // 2] = 0
    return sound.astype(np.int16)


def whole(samples: np.ndarray, frames: int, bins: int = 80) -> np.ndarray:
    """Whisper's log-mel of the signal and digital silence after it, in double precision, frame by frame."""
    sound = samples.astype(np.float64) / 32_768
    sound = np.concatenate((sound, np.zeros(frames * HOP + WINDOW)))
    sound = np.concatenate((sound[WINDOW // 2 : 0 : -1], sound))  # numpy's mode "reflect"
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))
    powers = [np.abs(np.fft.rfft(sound[at : at + WINDOW] * window)) ** 2 for at in range(0, frames * HOP, HOP)]
    log = np.log10(np.maximum(triangles(bins) @ np.array(powers).T, 1e-10))
    return (np.maximum(log, log.max() - 8.0) + 4.0) / 4.0


def triangles(bins: int) -> np.ndarray:
    """Slaney's mel filters, one triangle at a time."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)  # 8 kHz
    edges = [hertz(top * number / (bins + 1)) for number in range(bins + 2)]
    found = np.zeros((bins, WINDOW // 2 + 1))
    for row, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for column in range(WINDOW // 2 + 1):
            place = column * RATE / WINDOW
            slope = min((place - low) / (middle - low), (high - place) / (high - middle))
            found[row, column] = max(0.0, slope) * 2 / (high - low)
    return found


def pushed(samples: np.ndarray, cuts=()) -> Spectrogram:
    made = Spectrogram(80)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    for start, end in zip(edges, edges[1:], strict=False):
        made.push(samples[start:end])
    return made


@pytest.mark.parametrize("bins", [80, 128])
def test_mel_filters_equal_slaney_triangles(bins):
    assert np.allclose(mel_filters(bins), triangles(bins), atol=1e-6)
    assert np.allclose(hann()[1:], hann()[:0:-1])  # periodic: symmetric without its first sample


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(16_000, 100), (16_000, 200), (16_000, 300), (16_001, 102), (15_999, 150), (1_600, 60), (401, 4), (400, 10)],
)
def test_features_equal_whole_signal_computation(samples, frames):
    found = pushed(signal(samples)).features(frames)
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((80, frames), np.float32, True)
    assert np.allclose(found, whole(signal(samples), frames), atol=2e-3)


@pytest.mark.parametrize("samples", [1, 2, 100, 159, 160, 161, 199, 200, 201, 399])
def test_features_very_short_audio_is_padded(samples):
    loud = np.full(samples, 9_000, np.int16)
    assert np.allclose(pushed(loud).features(20), whole(loud, 20), atol=2e-3)


@settings(max_examples=30)
@given(st.integers(1, 5_000), st.lists(st.integers(0, 5_000), max_size=12), st.integers(1, 60))
def test_features_any_chunking_gives_the_same_frames(samples, cuts, frames):
    sound = signal(samples)
    found = pushed(sound, cuts)
    assert found.samples == samples
    assert np.allclose(found.features(frames), pushed(sound).features(frames), atol=1e-6)
    assert np.allclose(found.levels(), pushed(sound).levels(), atol=1e-6)


def test_features_between_pushes_do_not_disturb_the_next():
    sound, made = signal(8_000), Spectrogram(80)
    for start in range(0, 8_000, 500):
        made.push(sound[start : start + 500])
        first = made.features(100)
        assert np.array_equal(first, made.features(100))
    assert np.allclose(first, pushed(sound).features(100), atol=1e-4)


def test_features_fewer_frames_cut_the_end_off():
    made = pushed(signal(16_000))
    clipped = made.features(50)
    full = made.features(100)[:, :50]
    # the range below the loudest bin depends on what is seen
    assert np.allclose(np.maximum(clipped, full.max() - 2.0), np.maximum(full, full.max() - 2.0), atol=1e-6)


@pytest.mark.parametrize("at", [1, 100, 3_200, 7_777, 15_999])
def test_split_equals_two_utterances(at):
    sound = signal(16_000)
    first = pushed(sound, [1_000, 5_000])
    rest = first.split(at)
    assert (first.samples, rest.samples) == (at, 16_000 - at)
    for found, part in ((first, sound[:at]), (rest, sound[at:])):
        assert np.allclose(found.features(120), pushed(part).features(120), atol=1e-4)
        found.push(sound[:700])
        assert np.allclose(found.features(160), pushed(np.concatenate((part, sound[:700]))).features(160), atol=1e-4)


@pytest.mark.parametrize(("at", "lengths"), [(0, (0, 800)), (800, (800, 0)), (900, (800, 0))])
def test_split_at_the_edges_leaves_an_empty_part(at, lengths):
    first = pushed(signal(800))
    rest = first.split(at)
    assert (first.samples, rest.samples) == lengths


def test_levels_are_mean_log_powers_of_finished_frames():
    made = Spectrogram(80)
    assert made.levels().shape == (0,)
    made.push(np.concatenate((np.zeros(8_000, np.int16), signal(4_000))))
    levels = made.levels()
    assert len(levels) == (200 + 12_000 - WINDOW) // HOP + 1
    assert np.allclose(levels[:40], -10.0)
    assert levels[52:57].min() > -5.0


def test_clear_forgets_everything():
    made = pushed(signal(5_000))
    made.clear()
    assert (made.samples, len(made.levels())) == (0, 0)
    made.push(signal(3_000, seed=1))
    assert np.array_equal(made.features(40), pushed(signal(3_000, seed=1)).features(40))
