"""Channels to one: the mean, and the loudest where they cancel."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.audio.mix import BLOCKS_PER_SECOND, Downmix
from appliance.audio.pcm import PcmDecoder, as_int16
from appliance.core.options import AudioFormat
from tests.sound import speech

RATE = 16_000
BLOCK = RATE // BLOCKS_PER_SECOND
VOICE = speech(100, 500, 100, 500).astype(np.float32) / 32_768
OTHER = speech(300, 300, 300, 300, seed=9).astype(np.float32) / 32_768


def mixed(*channels: np.ndarray) -> np.ndarray:
    return Downmix(len(channels), RATE).push(np.stack(channels, 1))


@pytest.mark.parametrize("other", [VOICE, OTHER, VOICE * 0, -OTHER, VOICE * 0.2, -VOICE * 0.2])
def test_downmix_channels_that_do_not_cancel_give_the_mean(other: np.ndarray) -> None:
    assert np.allclose(mixed(VOICE, other), (VOICE + other) / 2, atol=1e-6)


@pytest.mark.parametrize("gain", [1.0, 0.9, 1.1])
def test_downmix_inverted_channel_gives_the_louder_one(gain: float) -> None:
    expected = VOICE if gain <= 1 else -VOICE * np.float32(gain)
    assert np.array_equal(mixed(VOICE, -VOICE * np.float32(gain))[BLOCK:], expected[BLOCK:])


def test_downmix_pause_does_not_lose_the_next_onset() -> None:
    """Noise of the two inputs, which does not cancel, between two stretches of a voice that does."""
    hiss = np.random.default_rng(1).normal(0, 1e-4, (2, RATE)).astype(np.float32)
    left = np.concatenate([VOICE, hiss[0], VOICE])
    right = np.concatenate([-VOICE, hiss[1], -VOICE])
    assert np.array_equal(mixed(left, right)[BLOCK:], left[BLOCK:])


@pytest.mark.parametrize("cut", [1, 7, 319, 320, 1_000])
def test_downmix_cuts_change_nothing(cut: int) -> None:
    frames = np.stack([VOICE, -VOICE], 1)
    one = Downmix(2, RATE)
    pieces = [one.push(frames[at : at + cut]) for at in range(0, len(frames), cut)]
    assert np.array_equal(np.concatenate(pieces), Downmix(2, RATE).push(frames))


def test_pcm_stream_with_an_inverted_channel_is_heard() -> None:
    samples = as_int16(VOICE)
    stereo = np.stack([samples, -samples], 1).astype("<i2").tobytes()
    heard = as_int16(PcmDecoder(AudioFormat(channels=2)).push(stereo))
    assert np.array_equal(heard[BLOCK:], samples[BLOCK:])
