import os

import pytest

from appliance.accounts import disk
from appliance.accounts.keys import Keys, KeysError
from appliance.setup.card import Card
from appliance.setup.keys import FILE, LINE, MARK, FirstKey, follow, reserved
from appliance.setup.values import OwnKey

ONE, OTHER = OwnKey("tablet", "0123456789abcdef"), OwnKey("phone", "fedcba9876543210")


class PowerCut(BaseException):
    """Nothing after this is done, no cleaning up either."""


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "accounts")


def names(keys):
    return [key.name for key in keys.all()]


class TestLines:
    def test_they_are_made_once(self, keys):
        follow(keys, [ONE, OTHER], 0)
        before = keys.all()
        follow(keys, [ONE, OTHER], 1)
        assert keys.all() == before
        assert names(keys) == [f"{LINE}tablet", f"{LINE}phone"]
        assert keys.find(ONE.secret) == before[0]

    def test_without_its_line_a_key_is_good_no_more(self, keys):
        follow(keys, [ONE, OTHER], 0)
        follow(keys, [OTHER], 0)
        assert (keys.find(ONE.secret), names(keys)) == (None, [f"{LINE}phone"])
        follow(keys, [], 0)
        assert names(keys) == []

    def test_right_to_listen_follows_the_line(self, keys):
        follow(keys, [OwnKey("tablet", ONE.secret, microphones=True), OTHER], 0)
        assert [key.microphones for key in keys.all()] == [True, False]
        follow(keys, [ONE, OwnKey("phone", OTHER.secret, microphones=True)], 0)
        assert [key.microphones for key in keys.all()] == [False, True]

    def test_other_keys_are_not_touched(self, keys):
        keys.create("by hand", now=0)
        keys.create(FILE, now=0)
        follow(keys, [ONE], 0)
        follow(keys, [], 0)
        assert names(keys) == ["by hand", FILE]

    def test_one_that_was_made_by_hand_too_stays_so(self, keys):
        made, _ = keys.create("by hand", now=0, own=ONE.secret)
        follow(keys, [ONE], 0)
        follow(keys, [], 0)
        assert keys.all() == (made,)

    def test_another_name_is_the_same_key(self, keys):
        follow(keys, [ONE], 0)
        [made] = keys.all()
        keys.change(made.id, streams=2)
        follow(keys, [OwnKey("big tablet", ONE.secret)], 1)
        [renamed] = keys.all()
        assert (renamed.id, renamed.name, renamed.streams) == (made.id, f"{LINE}big tablet", 2)

    @pytest.mark.parametrize(("name", "so"), [(FILE, True), (f"{LINE}a", True), ("a", False), (f"my {FILE}", False)])
    def test_names_that_are_theirs(self, name, so):
        assert reserved(name) == so


class First:
    """The first key, on folders of its own."""

    def __init__(self, root):
        self.root = root
        self.card, self.kept = root / "card", root / "setup"
        for folder in (self.card, self.kept):
            folder.mkdir()
        (self.card / "appliance.txt").touch()

    @property
    def keys(self):
        return Keys(self.root / "accounts")

    def start(self, wanted=True):
        """What the screen shows."""
        first = FirstKey(Card(self.card, lambda command: None), self.keys, self.kept)
        if wanted:
            first.make("kitchen", 8080)
        return FirstKey(Card(self.card, lambda command: None), self.keys, self.kept).shown("kitchen", 8080)

    @property
    def text(self):
        """What is on the card."""
        path = self.card / FILE
        return next(word for word in path.read_text().split() if word.startswith("sak_")) if path.exists() else None


@pytest.fixture
def first(tmp_path):
    return First(tmp_path)


class TestFirstKey:
    def test_it_is_made_once(self, first):
        shown = first.start()
        assert shown
        assert shown.startswith("sak_")
        assert first.text == shown
        assert first.start() == shown
        [key] = first.keys.all()
        assert first.keys.find(shown) == key
        assert (key.name, (first.kept / MARK).exists()) == (FILE, True)

    def test_how_to_use_it_is_there_too(self, first):
        first.start()
        page = (first.card / FILE).read_text()
        assert "kitchen" in page
        assert "http://kitchen.local:8080" in page

    def test_the_owner_may_delete_it(self, first):
        shown = first.start()
        (first.card / FILE).unlink()
        assert first.start() is None
        assert first.text is None
        assert first.keys.find(shown)
        assert len(first.keys.all()) == 1

    def test_a_revoked_one_is_taken_off_the_card_and_no_other_made(self, first):
        first.start()
        keys = first.keys
        keys.revoke(keys.all()[0].id)
        assert first.start() is None
        assert (first.text, first.keys.all()) == (None, ())

    def test_a_key_on_the_card_that_never_became_good_is_taken_away_when_none_is_wanted(self, first):
        (first.card / FILE).write_text("sak_" + "x" * 32)
        assert first.start(wanted=False) is None
        assert not (first.card / FILE).exists()

    def test_a_box_that_has_forgotten_takes_the_key_that_is_on_its_card(self, first):
        shown = first.start()
        (first.kept / MARK).unlink()
        first.keys.revoke(first.keys.all()[0].id)
        assert first.start() == shown
        assert first.keys.find(shown)

    @pytest.mark.parametrize("damaged", ["", "sak_short", "sak_" + "x" * 33, "\x00" * 512])
    def test_a_damaged_file_is_made_anew(self, first, damaged):
        (first.card / FILE).write_text(damaged)
        shown = first.start()
        assert shown
        assert "xxx" not in shown
        assert first.keys.find(shown)

    def test_it_may_have_been_saved_by_notepad(self, first):
        shown = first.start()
        path = first.card / FILE
        path.write_bytes(path.read_text().encode("utf-16"))
        (first.kept / MARK).unlink()
        assert first.start() == shown
        assert len(first.keys.all()) == 1

    def test_a_card_that_cannot_be_written_makes_no_key(self, first, monkeypatch):
        def full(self, name, text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Card, "write", full)
        with pytest.raises(OSError, match="No space"):
            first.start()
        assert (first.text, first.keys.all(), (first.kept / MARK).exists()) == (None, (), False)

    def test_accounts_that_cannot_be_written_leave_no_text_on_the_card(self, first, monkeypatch):
        def damaged(self, *arguments, **more):
            raise KeysError("the keys cannot be changed")

        with monkeypatch.context() as patch:
            patch.setattr(Keys, "create", damaged)
            with pytest.raises(KeysError):
                first.start()
        assert first.text is None
        assert first.start() == first.text

    def test_the_power_may_fail_at_any_moment(self, tmp_path, monkeypatch):
        """Before each call that changes a disk, for as long as there are such calls."""
        moments = 0
        while self._cut_at(First(_fresh(tmp_path, moments)), moments, monkeypatch):
            moments += 1
        assert moments > 15

    def _cut_at(self, first, moment, monkeypatch) -> bool:
        """Whether the power failed before the end."""
        with monkeypatch.context() as patch:
            _cut_before(patch, moment)
            try:
                first.start()
                return False
            except PowerCut:
                pass
        seen = first.text
        shown = first.start()
        assert shown
        assert first.text == shown
        assert [key.name for key in first.keys.all()] == [FILE]  # none that nobody knows
        assert first.keys.find(shown)
        assert seen in (None, shown)  # what was on the card is what is good
        assert first.start() == shown
        return True

    def test_a_second_power_cut(self, tmp_path, monkeypatch):
        for early in range(0, 16, 3):
            for late in range(0, 16, 3):
                first = First(_fresh(tmp_path, f"{early}-{late}"))
                for moment in (early, late):
                    with monkeypatch.context() as patch:
                        _cut_before(patch, moment)
                        try:
                            first.start()
                        except PowerCut:
                            continue
                shown = first.start()
                assert first.text == shown
                assert len(first.keys.all()) == 1
                assert first.keys.find(shown)

    def test_deleted_between_two_starts_of_which_the_first_was_cut(self, first, monkeypatch):
        """Its key was good, and only the mark was missing: it is not kept beside the one that is made now."""

        def cut(path, data):
            if path.name == MARK:
                raise PowerCut
            disk.replace(path, data)

        with monkeypatch.context() as patch:
            patch.setattr("appliance.setup.keys.replace", cut)
            with pytest.raises(PowerCut):
                first.start()
        old = first.text
        (first.card / FILE).unlink()
        shown = first.start()
        assert shown not in (None, old)
        assert first.keys.find(old) is None
        assert [key.name for key in first.keys.all()] == [FILE]


def _fresh(tmp_path, name):
    root = tmp_path / str(name)
    root.mkdir()
    return root


def _cut_before(patch, moment):
    """The power fails before the call of this number among all that change the disk."""
    left = moment

    def failing(call):
        def instead(*arguments, **more):
            nonlocal left
            if left == 0:
                raise PowerCut
            left -= 1
            return call(*arguments, **more)

        return instead

    for name in ("open", "fsync", "replace", "mkdir", "unlink", "rename"):
        patch.setattr(os, name, failing(getattr(os, name)))
