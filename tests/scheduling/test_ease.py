import pytest

from appliance.scheduling.ease import CALM_S, DOWN_AFTER_S, LONGEST_S, PROVEN_S, SLOWER, UP_AFTER_S, Ease, Level


def run(ease, lateness, seconds, at):
    """Observations once a second; the times and levels of the changes."""
    changes = []
    for second in range(int(seconds)):
        late = lateness(second) if callable(lateness) else lateness
        if ease.observe(late, at + second):
            changes.append((at + second, ease.level))
    return changes


def test_a_box_in_time_gives_nothing_up():
    assert run(Ease(), 0.05, 1000, 0.0) == []


def test_lateness_that_stays_takes_it_up_step_by_step():
    ease = Ease()
    changes = run(ease, 2.0, 60, 100.0)
    assert [level for _, level in changes] == [1, 2, 3]
    times = [at for at, _ in changes]
    assert times[0] - 100.0 == UP_AFTER_S
    assert all(later - sooner >= UP_AFTER_S for sooner, later in zip(times, times[1:], strict=False))
    assert run(ease, 9.0, 600, 200.0) == []


def test_lateness_that_falls_is_given_time():
    """One step was enough: the rest of the backlog is worked off."""
    ease = Ease()
    changes = run(ease, lambda second: 2.0 if second < 4 else max(0.0, 2.0 - 0.1 * (second - 4)), 20, 0.0)
    assert [level for _, level in changes] == [Level.SLOWER_PARTIALS]


@pytest.mark.parametrize("lump", [1, 2, 3])
def test_a_lump_of_work_is_no_lack_of_processor(lump):
    """The second pass at the end of a long utterance."""
    assert run(Ease(), lambda second: 2.0 if second % 10 < lump else 0.0, 300, 0.0) == []


def test_it_comes_back_step_by_step():
    ease = Ease()
    run(ease, 2.0, 30, 0.0)
    changes = run(ease, 0.0, 200, 100.0)
    assert [level for _, level in changes] == [2, 1, 0]
    assert changes[0][0] - 100.0 == DOWN_AFTER_S


def test_between_calm_and_late_it_stays_where_it_is():
    ease = Ease()
    run(ease, 2.0, 5, 0.0)
    assert ease.level == 1
    assert run(ease, CALM_S, 1000, 100.0) == []


def test_a_step_back_that_proved_too_early_is_not_repeated_as_soon():
    """Trouble that one step cures, and that comes back with each step back: the steps become rare."""
    ease, changes = Ease(), []
    for second in range(3600):
        if ease.observe(0.0 if ease.level else 1.0, float(second)):
            changes.append(second)
    assert len(changes) < 2 * 3600 / LONGEST_S + 12
    calm = [later - sooner for sooner, later in zip(changes[::2], changes[1::2], strict=False)]
    assert calm == sorted(calm)
    assert calm[0] - DOWN_AFTER_S in (0, 1)
    assert calm[-1] - LONGEST_S in (0, 1)


def test_after_a_long_calm_it_is_as_patient_as_at_first():
    ease = Ease()
    for second in range(600):
        ease.observe(0.0 if ease.level else 1.0, float(second))
    run(ease, 0.0, 2000, 1000.0)
    first = run(ease, 2.0, 5, 5000.0)[0][0]
    (back, _), *_ = run(ease, 0.0, PROVEN_S, first + 1)
    assert back - first <= DOWN_AFTER_S + 2


def test_clients_are_let_in_again_soon_however_often_a_step_back_was_too_early():
    ease = Ease()
    for second in range(3600):
        ease.observe(0.0 if ease.level else 1.0, float(second))
    run(ease, 2.0, 20, 4000.0)
    assert ease.level is Level.REFUSING
    (first, level), (second, _), *_ = run(ease, 0.0, 600, 4100.0)
    assert (first, level) == (4100.0 + DOWN_AFTER_S, Level.NO_PARTIALS)
    assert second - first > LONGEST_S / 2, "the other steps are as rare as they have become"


def test_every_level_says_what_becomes_of_partials_and_what_it_is():
    assert [SLOWER[level] for level in Level] == [1, 3, 0, 0]
    assert len({level.words for level in Level}) == len(Level)
