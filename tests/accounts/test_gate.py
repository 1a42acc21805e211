import logging
import stat
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts import usage
from appliance.accounts.account import Account
from appliance.accounts.attempts import GUESSES, WAITING, WINDOW_S
from appliance.accounts.gate import CANDIDATES, Accounts
from appliance.accounts.keys import Keys, KeysError
from appliance.accounts.recent import RECENT_S
from appliance.core.problems import Kind, Refused
from tests.accounts.clock import Clock

HERE, ELSEWHERE = "192.0.2.7", "192.0.2.8"
WRONG = "sak_of-somebody-who-guesses"


class Box:
    """A gate, the command line's view of its keys, and the clock."""

    def __init__(self, folder, open_house=False):
        self.folder = folder
        self.open_house = open_house
        self.clock = Clock()
        self.keys = Keys(folder)
        self.restart()

    def restart(self):
        self.gate = Accounts(self.folder, open_house=self.open_house, clock=self.clock)

    def key(self, name="app", **limits):
        return self.keys.create(name, now=self.clock(), **limits)

    def admit(self, *texts, scope="v3", address=HERE, sessions=None):
        return self.gate.admit(texts, scope, address, sessions=sessions)

    def refusal(self, *texts, **how):
        with pytest.raises(Refused) as refused:
            self.admit(*texts, **how)
        return refused.value.problem.kind

    def check_refusal(self, *texts):
        with pytest.raises(Refused) as refused:
            self.gate.check(texts, HERE)
        return refused.value.problem.kind


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "accounts")


@pytest.fixture
def open_box(tmp_path):
    return Box(tmp_path / "accounts", open_house=True)


# who comes in


def test_a_good_key_is_let_in(box):
    key, text = box.key()
    lease = box.admit(text)
    assert lease.account == box.gate.check([text], HERE) == Account(key.id, "app")
    assert lease.longest_s is None
    assert lease.spend(1e6)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"expires": 1_800_000_000.0}, Kind.BAD_KEY),
        ({"terms": False}, Kind.TERMS_NOT_ACCEPTED),
        ({"streaming": False}, Kind.NOT_ALLOWED),
        ({"seconds": 0}, Kind.QUOTA_EXCEEDED),
        ({"terms": False, "streaming": False, "seconds": 0}, Kind.TERMS_NOT_ACCEPTED),
        ({"streaming": False, "seconds": 0}, Kind.NOT_ALLOWED),
        ({"expires": 1_800_000_000.0, "terms": False}, Kind.BAD_KEY),
    ],
)
@pytest.mark.parametrize("house", ["box", "open_box"])
def test_refusals_of_a_key_in_their_order(request, house, limits, kind):
    box = request.getfixturevalue(house)
    _, text = box.key(**limits)
    assert box.refusal(text, sessions=0) is kind
    if kind is not Kind.BAD_KEY:
        assert box.gate.check([text], HERE).name == "app"


@pytest.mark.parametrize("texts", [(), ("",), ("", "")])
@pytest.mark.parametrize("house", ["box", "open_box"])
def test_nothing_given(request, house, texts):
    box = request.getfixturevalue(house)
    assert box.refusal(*texts) is box.check_refusal(*texts) is Kind.NO_KEY


@pytest.mark.parametrize("text", [WRONG, " ", "\ud800", "x" * 100_000])
def test_an_unknown_key(box, text):
    box.key()
    assert box.refusal(text) is box.check_refusal(text) is Kind.BAD_KEY


def test_the_first_good_one_counts(box):
    first, second = box.key("first")[1], box.key("second", terms=False)[1]
    expired = box.key("old", expires=1.0)[1]
    assert box.admit("", WRONG, expired, first, second).account.name == "first"
    assert box.refusal(WRONG, second, first) is Kind.TERMS_NOT_ACCEPTED
    assert box.gate.check(["", WRONG, second], HERE).name == "second"


def test_one_attempt_is_not_many_guesses(box):
    _, text = box.key()
    box.admit(*[WRONG] * (CANDIDATES - 1), text)
    assert box.refusal(*[WRONG] * CANDIDATES, text) is Kind.BAD_KEY


def test_a_refusal_tells_why_but_never_the_key(box):
    _, text = box.key(expires=1.0)
    for key, words in ((text, "it has expired"), (WRONG, "not known here")):
        with pytest.raises(Refused) as refused:
            box.admit(key)
        assert words in refused.value.problem.message
        assert key not in refused.value.problem.message


def test_a_plan_without_streaming_is_enough_for_files(box):
    _, text = box.key(streaming=False)
    box.gate.admit([text], "v3", HERE, streaming=False).spend(1)
    assert box.refusal(text) is Kind.NOT_ALLOWED


# how many at a time


@pytest.mark.parametrize(
    ("streams", "sessions", "most"), [(None, None, 20), (2, None, 2), (None, 3, 3), (2, 3, 2), (3, 2, 2), (1, 0, 0)]
)
def test_sessions_at_a_time(box, streams, sessions, most):
    _, text = box.key(streams=streams)
    _, other = box.key()
    leases = [box.admit(text, sessions=sessions) for _ in range(most)]
    if streams or sessions is not None:
        assert box.refusal(text, sessions=sessions) is Kind.TOO_MANY_SESSIONS
        box.admit(other)
    for lease in leases:
        lease.release()
        lease.release()
    assert len([box.admit(text, sessions=sessions) for _ in range(most)]) == most


# open house


def test_in_an_open_house_any_key_is_an_account_of_its_own(open_box):
    leases = [open_box.admit(text) for text in ("one", "one", "two")]
    accounts = [lease.account for lease in leases]
    assert accounts[0] == accounts[1] != accounts[2]
    assert all(account.anonymous and "one" not in account.id and "two" not in account.id for account in accounts)
    assert open_box.gate.check(["one"], HERE) == accounts[0]
    assert open_box.refusal("one", sessions=2) is Kind.TOO_MANY_SESSIONS
    open_box.admit("two", sessions=2)
    assert all(lease.spend(1e9) for lease in leases)
    open_box.gate.save()
    assert not (open_box.folder / "usage.json").exists()


def test_the_id_of_an_anonymous_account_cannot_be_computed(open_box):
    before = open_box.gate.check(["one"], HERE)
    open_box.restart()
    assert open_box.gate.check(["one"], HERE) != before


def test_in_an_open_house_a_known_key_is_still_its_account(open_box):
    key, text = open_box.key(seconds=10, streams=1)
    lease = open_box.admit(text)
    assert lease.account == Account(key.id, "app")
    assert open_box.refusal(text) is Kind.TOO_MANY_SESSIONS
    assert not lease.spend(10)
    lease.release()
    assert open_box.refusal(text) is Kind.QUOTA_EXCEEDED


# tokens


def issued(box, account, scope="v3", **how):
    return box.gate.issue(account, scope, **{"lifetime_s": 60, "single_use": True} | how)


@pytest.mark.parametrize(("house", "known"), [("box", True), ("open_box", True), ("open_box", False)])
def test_tokens(request, house, known):
    box = request.getfixturevalue(house)
    account = box.gate.check([box.key()[1] if known else "anything"], HERE)
    once, often = issued(box, account, longest_s=90), issued(box, account, single_use=False, prefix="sutkn_")
    assert often.startswith("sutkn_")
    lease = box.admit("", once)
    assert (lease.account, lease.longest_s) == (account, 90)
    assert box.refusal(once) is Kind.BAD_KEY
    assert [box.admit(often).longest_s for _ in range(3)] == [None] * 3
    assert box.refusal(often, sessions=4) is Kind.TOO_MANY_SESSIONS
    assert box.refusal(often, scope="v2") is Kind.BAD_KEY
    with pytest.raises(Refused, match="a token is no key here"):
        box.gate.check([often], HERE)
    box.clock.now += 59.9
    box.admit(often)
    box.clock.now += 0.1
    assert box.refusal(often) is Kind.BAD_KEY


def test_a_used_token_beside_a_good_key(box):
    _, text = box.key()
    token = issued(box, box.gate.check([text], HERE))
    box.admit(token)
    assert box.admit(token, text).account.name == "app"


@pytest.mark.parametrize("limits", [{"terms": False}, {"streaming": False}, {"seconds": 0}, {"streams": 1}])
def test_a_token_is_used_up_only_by_a_session(box, limits):
    key, text = box.key()
    token = issued(box, box.gate.check([text], HERE))
    lease = box.admit(text)
    box.keys.change(key.id, **limits)
    kind = box.refusal(token)
    assert kind is not Kind.BAD_KEY
    box.keys.change(key.id, terms=True, streaming=True, seconds=None)
    lease.release()
    box.admit(token)
    assert box.refusal(token) is Kind.BAD_KEY


def test_a_token_is_not_used_up_by_another_scope(box):
    token = issued(box, box.gate.check([box.key()[1]], HERE))
    assert box.refusal(token, scope="v2") is Kind.BAD_KEY
    box.admit(token)


@pytest.mark.parametrize("house", ["box", "open_box"])
@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_token_ends_with_its_key(request, house, end):
    box = request.getfixturevalue(house)
    key, text = box.key()
    token = issued(box, box.gate.check([text], HERE), single_use=False)
    box.admit(token)
    if end == "revoked":
        box.keys.revoke(key.id)
    else:
        box.keys.change(key.id, expires=box.clock())
    assert box.refusal(token) is Kind.BAD_KEY


def test_tokens_do_not_outlive_the_process(box):
    token = issued(box, box.gate.check([box.key()[1]], HERE))
    box.restart()
    assert box.refusal(token) is Kind.BAD_KEY


def test_no_secret_is_in_the_folder(box):
    _, text = box.key()
    token = issued(box, box.gate.check([text], HERE))
    box.admit(token).spend(1)
    box.gate.save()
    written = b"".join(path.read_bytes() for path in box.folder.rglob("*"))
    assert text.encode() not in written
    assert token.encode() not in written


# what is counted


def test_seconds_are_used_up(box):
    key, text = box.key(seconds=60)
    first, second = box.admit(text), box.admit(text)
    assert first.spend(30)
    assert second.spend(29.9)
    assert not first.spend(0.1)
    assert not second.spend(0.1)
    assert first.problem is second.problem is Kind.QUOTA_EXCEEDED
    assert box.refusal(text) is Kind.QUOTA_EXCEEDED
    box.keys.change(key.id, seconds=120)
    third = box.admit(text)
    assert third.spend(1)
    assert third.problem is None


def test_a_restart_keeps_the_usage(box):
    _, text = box.key(seconds=60)
    box.admit(text).spend(59)
    box.gate.save()
    box.restart()
    assert not box.admit(text).spend(1)
    box.gate.save()
    box.restart()
    assert box.refusal(text) is Kind.QUOTA_EXCEEDED


def test_a_damaged_usage_file_is_no_reason_not_to_start(box, caplog):
    _, text = box.key(seconds=60)
    (box.folder / "usage.json").write_bytes(b"{")
    box.restart()
    assert "counting begins anew" in caplog.text
    assert box.admit(text).spend(1)


def test_a_disk_that_takes_nothing_is_no_reason_to_stop(box, caplog, monkeypatch):
    def read_only(path, data):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(usage, "replace", read_only)
    _, text = box.key(seconds=2)
    lease = box.admit(text)
    for _ in range(2):
        lease.spend(1)
        box.gate.save()
    assert box.refusal(text) is Kind.QUOTA_EXCEEDED
    assert caplog.text.count("Read-only") == 1


@pytest.mark.parametrize("end", ["revoked", "expired", "topped up"])
def test_a_session_learns_within_a_second_what_became_of_its_key(box, end):
    key, text = box.key(seconds=60)
    lease = box.admit(text)
    lease.spend(59.5)
    if end == "revoked":
        box.keys.revoke(key.id)
    elif end == "expired":
        box.keys.change(key.id, expires=box.clock() + 1)
    else:
        box.keys.change(key.id, seconds=120)
    box.clock.now += 1
    assert lease.spend(0.6) is (end == "topped up")
    assert lease.problem is (None if end == "topped up" else Kind.BAD_KEY)
    lease.release()


def test_audio_does_not_look_at_the_file_each_time(box, monkeypatch):
    _, text = box.key()
    lease = box.admit(text)
    looks = []
    monkeypatch.setattr(Keys, "refresh", lambda self: looks.append(box.clock()))
    for _ in range(100):
        box.clock.now += 0.25
        lease.spend(0.25)
    assert len(looks) == 25
    box.clock.now -= 1e6  # set back
    lease.spend(0.25)
    assert len(looks) == 26


# while it runs


def test_keys_made_changed_and_revoked_count_at_once(box):
    key, text = box.key()
    box.admit(text)
    box.keys.change(key.id, terms=False)
    assert box.refusal(text) is Kind.TERMS_NOT_ACCEPTED
    assert box.gate.check([text], HERE)
    box.keys.revoke(key.id)
    assert box.refusal(text) is box.check_refusal(text) is Kind.BAD_KEY


def test_damaged_keys_are_an_error_at_the_start_only(box, caplog):
    _, text = box.key()
    box.admit(text)
    (box.folder / "keys.json").write_bytes(b"{")
    box.admit(text)
    box.gate.check([text], HERE)
    assert [record.levelno for record in caplog.records if "is damaged" in record.getMessage()] == [logging.ERROR]
    with pytest.raises(KeysError, match=r"keys\.json is damaged"):
        box.restart()


def test_the_folder_is_made(tmp_path, caplog):
    Accounts(tmp_path / "state" / "accounts", open_house=True, clock=Clock())
    assert caplog.text == ""
    Accounts(tmp_path / "state" / "accounts", open_house=False, clock=Clock())
    assert "nobody has a key yet" in caplog.text
    assert stat.S_IMODE((tmp_path / "state" / "accounts").stat().st_mode) == 0o700


def test_without_a_folder_only_an_open_house_can_be(tmp_path, caplog, monkeypatch):
    def read_only(self, *_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    gate = Accounts(tmp_path / "accounts", open_house=True, clock=Clock())
    assert gate.admit(["any"], "v3", HERE).spend(1)
    assert "Read-only" in caplog.text
    with pytest.raises(KeysError, match="cannot be made: Read-only"):
        Accounts(tmp_path / "accounts", open_house=False, clock=Clock())


# guessing


def test_failures_slow_the_answers_to_their_address(box):
    _, text = box.key()
    delays = []
    for _ in range(9):
        assert box.refusal(WRONG) is Kind.BAD_KEY
        delays.append(box.gate.delay(HERE))
    assert delays == [0, 0, 0, 0.5, 1, 2, 4, 5, 5]
    box.admit(text)
    assert box.gate.delay(HERE) == 5, "a good key does not make the guesses forgotten"
    assert box.gate.delay(ELSEWHERE) == 0
    box.clock.now += 600
    assert box.gate.delay(HERE) == 0


def test_only_wrong_keys_are_failures(box):
    barred, good = box.key(terms=False)[1], box.key(streams=1)[1]
    box.admit(good)
    for texts in [(), (barred,), (good,)] * 5:
        box.refusal(*texts)
    assert box.gate.delay(HERE) == 0
    box.check_refusal(WRONG)
    for _ in range(3):
        box.refusal(issued(box, box.gate.check([good], HERE)), scope="v2")
    assert box.gate.delay(HERE) == 0.5


def test_while_too_many_answers_wait_nobody_there_gets_a_look(box):
    _, text = box.key()
    with ExitStack() as held:
        for _ in range(WAITING):
            held.enter_context(box.gate.waiting(HERE))
        assert box.refusal(WRONG) is Kind.BAD_KEY
        with box.gate.waiting(HERE):
            before = box.gate.delay(HERE)
            for texts in [(), (WRONG,), (text,)] * 3:
                assert box.refusal(*texts) is box.check_refusal(*texts) is Kind.RATE_LIMITED
            assert box.gate.delay(HERE) == before
            box.admit(text, address=ELSEWHERE)
        box.admit(text)


def test_an_answer_that_is_given_up_waits_no_longer(box):
    for _ in range(WAITING + 1):
        with pytest.raises(ConnectionError), box.gate.waiting(HERE):
            raise ConnectionError
    assert box.refusal(WRONG) is Kind.BAD_KEY


@pytest.fixture
def crowd(box):
    """A box where more answers are held back for HERE than may be, once the test asks for it."""
    with ExitStack() as held:
        yield lambda: [held.enter_context(box.gate.waiting(HERE)) for _ in range(WAITING + 1)]


def test_recent_account_in_a_crowd_is_admitted(box, crowd):
    text, other = box.key("here")[1], box.key("elsewhere")[1]
    box.admit(text)
    box.admit(other, address=ELSEWHERE)
    crowd()
    assert box.admit(WRONG, text).account.name == box.gate.check([text], HERE).name == "here"
    assert box.refusal(other) is box.refusal(WRONG) is box.refusal() is Kind.RATE_LIMITED


def test_account_admitted_a_day_ago_is_rate_limited(box, crowd):
    text = box.key()[1]
    box.admit(text)
    crowd()
    box.clock.now += RECENT_S - 1
    box.admit(text)  # renews the day
    box.clock.now += RECENT_S
    assert box.refusal(text) is Kind.RATE_LIMITED
    box.clock.now -= RECENT_S * 3
    assert box.refusal(text) is Kind.RATE_LIMITED


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_recent_account_whose_key_ended_is_rate_limited(box, crowd, end):
    key, text = box.key()
    box.admit(text)
    crowd()
    if end == "revoked":
        box.keys.revoke(key.id)
    else:
        box.keys.change(key.id, expires=box.clock())
    assert box.refusal(text) is Kind.RATE_LIMITED


def test_good_token_in_a_crowd_is_admitted(box, crowd):
    account = box.gate.check([box.key()[1]], ELSEWHERE)
    token = issued(box, account)
    crowd()
    assert box.admit(token).account == account
    assert box.refusal(token) is Kind.RATE_LIMITED


def test_guesses_in_a_crowd_are_limited(box, crowd):
    own = "chosen-by-the-operator"
    made, chosen = box.key("made")[1], box.key("chosen", own=own)[1]
    token = issued(box, box.gate.check([made], HERE), prefix="token-of-a-dialect_")
    box.admit(chosen)
    crowd()
    for number in range(GUESSES - 1):
        assert box.refusal(f"guess-number-{number:06}") is Kind.RATE_LIMITED
    box.admit(own)
    assert box.refusal("one-guess-too-many") is Kind.RATE_LIMITED
    assert box.refusal(own) is Kind.RATE_LIMITED
    assert {box.admit(made).account.name, box.admit(token).account.name} == {"made"}
    box.clock.now += WINDOW_S
    box.admit(own)


def test_anonymous_account_in_a_crowd_is_admitted(open_box):
    open_box.admit("one")
    with ExitStack() as held:
        for _ in range(WAITING + 1):
            held.enter_context(open_box.gate.waiting(HERE))
        open_box.admit("one")
        assert open_box.refusal("two") is Kind.RATE_LIMITED


# whatever happens

ACTS = st.sampled_from(["admit", "spend", "release", "save", "restart"])


@given(
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(0, 30)),
    st.lists(st.tuples(ACTS, st.integers(0, 5), st.booleans()), max_size=60),
)
def test_what_is_open_and_what_is_used_add_up(streams, seconds, steps):
    with TemporaryDirectory() as place:
        box = Box(Path(place) / "accounts", open_house=True)
        texts = [box.key(streams=streams, seconds=seconds)[1], "anybody"]
        held, open_, used, saved = [], [0, 0], 0, 0
        for act, number, anonymous in steps:
            match act:
                case "admit":
                    try:
                        held.append((box.admit(texts[anonymous], sessions=3), anonymous))
                        open_[anonymous] += 1
                    except Refused as refused:
                        if refused.problem.kind is Kind.TOO_MANY_SESSIONS:
                            assert open_[anonymous] == (3 if anonymous else min(streams, 3))
                        else:
                            assert refused.problem.kind is Kind.QUOTA_EXCEEDED
                            assert not anonymous
                            assert used >= seconds
                    else:
                        assert open_[anonymous] <= (3 if anonymous else min(streams, 3))
                        assert anonymous or seconds is None or used < seconds
                case "spend" if held:
                    lease, nobody = held[number % len(held)]
                    used += 0 if nobody else number
                    assert lease.spend(number) is (nobody or seconds is None or used < seconds)
                case "release" if held:
                    lease, nobody = held[number % len(held)]
                    lease.release()
                    lease.release()
                    if (lease, nobody) in held:
                        held.remove((lease, nobody))
                        open_[nobody] -= 1
                case "save":
                    box.gate.save()
                    saved = used
                case "restart":
                    box.restart()
                    held, open_, used = [], [0, 0], saved
            assert sorted(box.gate._open.values()) == sorted(count for count in open_ if count)
