import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Word
from appliance.core.stability import SETTLED, Stability


def said(text, step=1000):
    return tuple(Word(word, i * step, (i + 1) * step, 1.0) for i, word in enumerate(text.split()))


@pytest.mark.parametrize(
    ("updates", "shown", "stable"),
    [
        ([("", 0)], "", 0),
        ([("a b", 99_000)], "a b", 0),  # once is not enough
        ([("a b", 99_000), ("a b", 99_000)], "a b", 2),
        ([("a b", 99_000), ("a c", 99_000)], "a c", 1),
        ([("a b", 99_000), ("x b", 99_000)], "x b", 0),
        ([("a b", 2_000), ("a b", 1_000 + SETTLED)], "a b", 1),
        ([("a b", 2_000), ("a b", 999 + SETTLED)], "a b", 0),
        ([("a b", 99_000), ("a b", 99_000), ("x y z", 99_000)], "a b z", 2),
        ([("a b", 99_000), ("a b", 99_000), ("", 99_000)], "a b", 2),
        ([("a b", 99_000), ("a b", 99_000), ("", 99_000), ("x y", 99_000), ("x y z", 99_000)], "a b z", 2),
        ([("a b", 99_000), ("a b", 99_000), ("a b c d", 99_000), ("a b c e", 99_000)], "a b c e", 3),
        ([("a b", 99_000), ("a b", 99_000), ("x a b c", 99_000)], "a b c", 2),  # shifted by a word in front
        ([("a b", 99_000), ("a b", 99_000), ("b c", 99_000)], "a b c", 2),
    ],
)
def test_updates(updates, shown, stable):
    stability = Stability()
    for text, now in updates:
        words, count = stability.update(said(text), now)
    assert (" ".join(word.text for word in words), count) == (shown, stable)


@given(st.lists(st.tuples(st.lists(st.sampled_from("ab"), max_size=6), st.integers(0, 8_000)), max_size=15))
def test_the_stable_words_never_shrink_nor_change(updates):
    stability, now, fixed = Stability(), 0, ()
    for texts, passed in updates:
        now += passed
        words, stable = stability.update(said(" ".join(texts)), now)
        assert stable <= len(words)
        assert words[: len(fixed)] == fixed
        assert stable >= len(fixed)
        fixed = words[:stable]
        assert all(word.end <= now - SETTLED for word in fixed)
        rest = [word.text for word in words[stable:]]
        assert texts[len(texts) - len(rest) :] == rest


@pytest.mark.parametrize(("fixed", "stable"), [(0, 0), (2, 2), (None, 0)])
def test_update_with_fixed_words_follows_the_engine(fixed, stable):
    assert Stability().update(said("a b c"), 99_000, fixed)[1] == stable
