import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.resample import Resampler
from appliance.core.events import RATE
from appliance.core.options import RATES
from tests.sound import noise, tone

OTHER = [rate for rate in RATES if rate != RATE]


def resampled(samples, rate, cuts=()):
    resampler = Resampler(rate)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    parts = [resampler.push(samples[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("rate", RATES)
@given(length=st.one_of(st.integers(0, 50), st.integers(0, 9_000)))
def test_the_length_is_exact(rate, length):
    result = resampled(noise((True, length)), rate)
    assert result.dtype == np.int16
    assert len(result) == round(length * RATE / rate)


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=25)
@given(length=st.integers(0, 6_000), cuts=st.lists(st.integers(0, 6_000), max_size=8), seed=st.integers(0, 99))
def test_cutting_changes_no_bit(rate, length, cuts, seed):
    samples = noise((True, length), seed=seed)
    assert np.array_equal(resampled(samples, rate, cuts), resampled(samples, rate))


@pytest.mark.parametrize("rate", OTHER)
def test_sample_by_sample_is_the_same_too(rate):
    samples = noise((True, 700))
    assert np.array_equal(resampled(samples, rate, range(700)), resampled(samples, rate))


def test_16_khz_passes_bit_for_bit_and_at_once():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(Resampler(RATE).push(every), every)


def test_16_khz_floats_are_rounded():
    assert Resampler(RATE).push(np.array([0.5, -1, 1], np.float32)).tolist() == [16384, -32768, 32767]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 3000])
def test_a_tone_keeps_its_pitch_and_level(rate, hertz):
    result = resampled(tone(hertz, rate, rate, 0.5), rate)[RATE // 4 : RATE // 4 + RATE // 2] / 32768
    spectrum = np.abs(np.fft.rfft(result * np.hanning(len(result))))
    assert np.argmax(spectrum) * RATE / len(result) == pytest.approx(hertz, abs=2)
    assert np.sqrt(np.mean(result**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("rate", [rate for rate in OTHER if rate > 2 * 9_000])
def test_what_16_khz_cannot_hold_is_gone(rate):
    result = resampled(tone(9_000, rate, rate, 0.5), rate)[RATE // 4 : -RATE // 4]
    assert np.abs(result.astype(int)).max() < 100


@pytest.mark.parametrize("rate", OTHER)
def test_a_click_stays_where_it_was(rate):
    samples = np.zeros(rate, np.int16)
    samples[rate // 2] = 20_000
    assert np.argmax(np.abs(resampled(samples, rate).astype(int))) == pytest.approx(RATE // 2, abs=1)


@pytest.mark.parametrize("rate", OTHER)
def test_little_is_held_back(rate):
    resampler = Resampler(rate)
    got = sum(len(resampler.push(noise((True, rate // 50)))) for _ in range(100))
    assert 0 <= 2 * RATE - got <= RATE * 45 // 1000


@pytest.mark.parametrize("rate", OTHER)
def test_full_scale_is_clipped_and_does_not_wrap(rate):
    square = np.where(np.arange(rate) // (rate // 100) % 2, 32767, -32768).astype(np.int16)
    result = resampled(square, rate).astype(int)
    signs = resampled(square // 2, rate).astype(int)
    assert not np.any((np.abs(result) > 8000) & (np.sign(result) != np.sign(signs)))
