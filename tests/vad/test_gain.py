import numpy as np
import pytest

from appliance.vad.gain import LARGEST_DB, START_DB, TARGET_DB, Gain


def frames(level_db, count=200):
    """Noise with this root mean square, dBFS, in frames of 512 samples."""
    samples = np.random.default_rng(0).normal(0, 32_768 * 10 ** (level_db / 20), (count, 512))
    return np.clip(samples, -32_768, 32_767).astype(np.int16)


def gain_db(factors):
    return 20 * np.log10(factors[:, 0])


@pytest.mark.parametrize(("level_db", "expected_db"), [(-45, 25), (-35, 15), (-20, 0), (-10, 0)])
def test_gain_settled_level_reaches_target(level_db, expected_db):
    assert gain_db(Gain().factors(frames(level_db, 600)))[-1] == pytest.approx(expected_db, abs=1)


def test_gain_before_any_sound_assumes_a_quiet_microphone():
    assert gain_db(Gain().factors(np.zeros((1, 512), np.int16)))[0] == pytest.approx(TARGET_DB - START_DB, abs=0.2)


def test_gain_silence_is_bounded():
    assert gain_db(Gain().factors(np.zeros((2_000, 512), np.int16)))[-1] == pytest.approx(LARGEST_DB)


def test_gain_loud_frame_lowers_gain_at_once_then_slowly_rises():
    sound = np.concatenate((frames(-50, 100), frames(-20, 1), frames(-50, 100)))
    found = gain_db(Gain().factors(sound))
    assert found[100] == pytest.approx(0, abs=1)
    assert np.all(np.diff(found[100:]) > 0)
    assert found[-1] == pytest.approx(3.0 * 3.2, abs=1.2)


@pytest.mark.parametrize("group", [1, 7, 64])
def test_gain_grouping_of_frames_changes_nothing(group):
    sound, whole, pieces = frames(-40), Gain(), Gain()
    parts = [pieces.factors(sound[at : at + group]) for at in range(0, len(sound), group)]
    assert np.array_equal(np.concatenate(parts), whole.factors(sound))
