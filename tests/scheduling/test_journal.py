"""The worker's side is played by the tests: it may report less than it did, or die, at any time."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.core.options import Changes
from appliance.core.segment import Origin
from appliance.scheduling.journal import Journal
from appliance.scheduling.messages import Audio, Commit, Configure, Finish, Report

SID = 7


def journal(*entries, window=100):
    """Bytes are audio; the others are kinds of commands."""
    made = Journal(SID, window)
    for entry in entries:
        add(made, entry)
    return made


def add(made, entry):
    if isinstance(entry, bytes):
        made.append(Audio(SID, made.seq, entry))
    elif entry is Configure:
        made.append(Configure(SID, made.seq, Changes(partial_ms=0)))
    else:
        made.append(entry(SID, made.seq))


def told(entries):
    return [entry.data if isinstance(entry, Audio) else type(entry) for entry in entries]


def report(done, consumed, safe, segment=0):
    return Report(SID, done, consumed, Origin(safe, segment=segment), ())


def test_entries_go_out_once_in_order_and_numbered():
    made = journal(b"ab", Commit, b"", b"c", Configure, Finish)
    due = list(made.due())
    assert told(due) == [b"ab", Commit, b"", b"c", Configure, Finish]
    assert [entry.seq for entry in due] == [1, 2, 3, 4, 5, 6]
    assert list(made.due()) == []
    assert (made.seq, made.received) == (7, 3)


@pytest.mark.parametrize(
    ("window", "reports", "expected"),
    [
        (4, [], [[b"aaaa"]]),
        (7, [], [[b"aaaa"]]),
        (8, [], [[b"aaaa", b"bbbb", Commit]]),
        (4, [(1, 4, 0)], [[b"aaaa"], [b"bbbb", Commit]]),
        (4, [(0, 3, 0)], [[b"aaaa"], []]),
        (7, [(0, 1, 0)], [[b"aaaa"], [b"bbbb", Commit]]),
        (6, [(1, 4, 4), (3, 8, 4)], [[b"aaaa"], [b"bbbb", Commit], [b"cccc", Finish]]),
        (2, [], [[b"aaaa"]]),  # too big for any window: alone
        (2, [(1, 4, 0), (2, 8, 0)], [[b"aaaa"], [b"bbbb", Commit], [b"cccc", Finish]]),
    ],
)
def test_the_window(window, reports, expected):
    made = journal(b"aaaa", b"bbbb", Commit, b"cccc", Finish, window=window)
    got = [told(made.due())]
    for entry in reports:
        made.report(report(*entry))
        got.append(told(made.due()))
    assert got == expected


@pytest.mark.parametrize(
    ("sent", "done", "outstanding"),
    [(False, 0, False), (True, 0, True), (True, 1, True), (True, 2, True), (True, 3, False)],
)
def test_outstanding(sent, done, outstanding):
    made = journal(b"ab", Commit, b"cd")
    if sent:
        list(made.due())
        made.report(report(done, 2 * min(done, 1), 0))
    assert made.outstanding is outstanding


def test_backlog_is_what_no_worker_has_dealt_with():
    made = journal(b"abcd", b"ef")
    assert made.backlog == 6
    list(made.due())
    assert made.backlog == 6
    made.report(report(1, 5, 2))
    assert made.backlog == 1
    made.rewind()
    assert made.backlog == 4


@pytest.mark.parametrize(
    ("reports", "origin", "again"),
    [
        ([], Origin(0, segment=0), [b"abcd", Commit, b"efgh", Configure, b"ij"]),
        ([(1, 4, 0)], Origin(0, segment=0), [b"abcd", Commit, b"efgh", Configure, b"ij"]),
        ([(2, 4, 0)], Origin(0, segment=0), [b"abcd", b"efgh", Configure, b"ij"]),
        ([(2, 4, 4, 1)], Origin(4, segment=1), [b"efgh", Configure, b"ij"]),
        ([(2, 6, 5, 1)], Origin(5, segment=1), [b"fgh", Configure, b"ij"]),
        ([(1, 4, 4)], Origin(4, segment=0), [Commit, b"efgh", Configure, b"ij"]),
        ([(1, 4, 1), (3, 8, 3, 2)], Origin(3, segment=2), [b"d", b"efgh", Configure, b"ij"]),
        ([(5, 10, 9, 3)], Origin(9, segment=3), [b"j"]),
        ([(5, 10, 10, 3)], Origin(10, segment=3), []),
    ],
)
def test_a_new_worker_is_given_what_might_matter_again(reports, origin, again):
    made = journal(b"abcd", Commit, b"efgh", Configure, b"ij")
    list(made.due())
    for entry in reports:
        made.report(report(*entry))
    assert made.rewind() == origin
    assert told(made.due()) == again


def test_what_was_not_sent_yet_follows_what_is_sent_again():
    made = journal(b"aaaa", b"bbbb", Finish, window=4)
    list(made.due())
    made.rewind()
    assert told(made.due()) == [b"aaaa"]
    made.report(report(1, 4, 4))
    assert told(made.due()) == [b"bbbb", Finish]


def test_a_successor_that_has_come_less_far_takes_nothing_back():
    made = journal(b"aaaa", Commit, b"bbbb")
    list(made.due())
    made.report(report(2, 6, 4, 1))
    made.rewind()
    list(made.due())
    made.report(report(0, 5, 0, 1))
    assert (made.consumed, made.safe) == (5, 4)
    assert made.rewind() == Origin(4, segment=1)
    assert told(made.due()) == [b"bbbb"]


class Conversation(RuleBasedStateMachine):
    """A client, a journal and workers. What the model knows is compared with what a worker was given."""

    def __init__(self):
        super().__init__()
        self.window = 50
        self.journal = Journal(SID, self.window)
        self.audio = b""
        self.commands = []
        """(seq, kind, bytes of audio before it)"""
        self.safe = self.done = self.segment = 0
        self.reported = 0
        self.begin_worker(Origin())

    def begin_worker(self, origin):
        self.start = origin.wire
        self.got = []
        self.worked = 0
        """Entries worked on by this worker."""
        self.given_before = self.done

    # the client

    @rule(data=st.binary(max_size=50))
    def sends_audio(self, data):
        add(self.journal, data)
        self.audio += data

    @rule(kind=st.sampled_from([Commit, Configure, Finish]))
    def sends_a_command(self, kind):
        self.commands.append((self.journal.seq, kind, len(self.audio)))
        add(self.journal, kind)

    # the daemon

    @rule()
    def hands_over(self):
        for entry in self.journal.due():
            self.got.append(entry)
            unread = self.given_bytes() - self.journal.consumed
            assert unread <= self.window

    @precondition(lambda self: self.worked < len(self.got))
    @rule(data=st.data())
    def worker_reports(self, data):
        """It has worked off some entries, perhaps a part of one more, and needs no audio before some place again."""
        self.worked = data.draw(st.integers(self.worked, len(self.got)))
        sizes = [len(entry.data) if isinstance(entry, Audio) else 0 for entry in self.got]
        consumed = self.start + sum(sizes[: self.worked])
        if self.worked < len(self.got) and sizes[self.worked]:
            consumed += data.draw(st.integers(0, sizes[self.worked] - 1))
        consumed = max(consumed, self.reported)
        done = self.got[self.worked - 1].seq if self.worked else 0
        self.done = max(self.done, done)
        self.safe = data.draw(st.integers(self.safe, max(self.safe, consumed)))
        self.segment += data.draw(st.integers(0, 1))
        self.reported = consumed
        self.journal.report(report(done, consumed, self.safe, self.segment))

    @rule()
    def worker_dies(self):
        origin = self.journal.rewind()
        assert origin == Origin(self.safe, segment=self.segment)
        self.reported = self.safe
        self.begin_worker(origin)
        assert not self.journal.outstanding

    # what must hold

    def given_bytes(self):
        return self.start + sum(len(entry.data) for entry in self.got if isinstance(entry, Audio))

    @invariant()
    def a_worker_gets_the_audio_as_it_came(self):
        given = b"".join(entry.data for entry in self.got if isinstance(entry, Audio))
        assert given == self.audio[self.start : self.start + len(given)]

    @invariant()
    def commands_come_once_in_order_and_in_their_places(self):
        expected = [row for row in self.commands if row[0] > self.given_before]
        at, got = self.start, []
        for entry in self.got:
            if isinstance(entry, Audio):
                at += len(entry.data)
            else:
                got.append((entry.seq, type(entry), at))
        places = [(seq, kind, max(place, self.start)) for seq, kind, place in expected]
        assert got == places[: len(got)]
        if self.got:  # none that stood before the last entry is missing
            assert [row[0] for row in got] == [seq for seq, _, _ in expected if seq <= self.got[-1].seq]

    @invariant()
    def the_counts_are_right(self):
        assert self.journal.received == len(self.audio)
        assert self.journal.safe == self.safe
        assert self.journal.received >= self.journal.consumed >= self.journal.safe
        assert self.journal.backlog == len(self.audio) - self.journal.consumed

    def teardown(self):
        """Whoever lives long enough gets everything."""
        for _ in range(len(self.audio) + len(self.commands) + 2):
            self.hands_over()
            done = self.got[-1].seq if self.got else 0
            self.done = max(self.done, done)
            self.journal.report(report(done, self.given_bytes(), self.safe, self.segment))
        assert self.given_bytes() == len(self.audio)
        assert not self.journal.outstanding
        self.a_worker_gets_the_audio_as_it_came()
        self.commands_come_once_in_order_and_in_their_places()


Conversation.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestConversation = Conversation.TestCase


@pytest.mark.parametrize(("safe", "begins"), [(0, [True, True]), (2, [True]), (3, [False])])
def test_rewind_cut_message_does_not_begin_there(safe, begins):
    """A replayed rest of a message must not be taken for a message with a WAV header of its own."""
    made = Journal(SID, 100)
    for data in (b"ab", b"cd"):
        made.append(Audio(SID, made.seq, data, begins=True))
    list(made.due())
    made.report(report(2, 4, safe))
    made.rewind()
    assert [entry.begins for entry in made.due()] == begins
