"""A session without processes: its worker is a list of what it was sent."""

from __future__ import annotations

from typing import cast

import pytest

from appliance.core.events import Cause, Final, SpeechEnded, SpeechStarted
from appliance.core.options import SessionOptions
from appliance.core.ports import Capabilities
from appliance.core.segment import Origin
from appliance.scheduling.link import WorkerLink
from appliance.scheduling.live import TRIES, LiveSession
from appliance.scheduling.messages import Report, ToWorker
from appliance.scheduling.settings import Settings
from tests.box import run

MODEL = Capabilities(
    engine="fake", model="m", language="en", grammar=False, word_confidence=True, sessions_per_worker=8,
    streams_per_core=4,
)  # fmt: skip


class Postbox:
    """What a session knows of its worker."""

    def __init__(self) -> None:
        self.sessions: dict[int, LiveSession] = {}
        self.served = 0
        self.alone = False
        self.sent: list[ToWorker] = []

    def send(self, message: ToWorker) -> None:
        self.sent.append(message)


def live(told: list[float] | None = None) -> LiveSession:
    on_final = (lambda seconds: None) if told is None else told.append
    return LiveSession(1, MODEL, SessionOptions(), Settings(), lambda event: None, lambda session: None, on_final)


def hand(session: LiveSession) -> None:
    session.give_to(cast(WorkerLink, Postbox()), session.options)


@pytest.mark.parametrize("piece_ms", [20, 100])
def test_a_final_whose_end_of_speech_was_told_before_it_is_measured(piece_ms: int) -> None:
    """The end of speech is reported at once, the final with the same audio consumed."""
    told: list[float] = []

    async def work() -> None:
        session = live(told)
        hand(session)
        piece = 32 * piece_ms
        for number in range(1, 6):
            session.push(bytes(piece))
            consumed = number * piece
            session.told(Report(1, number, consumed, Origin(), (SpeechStarted(number),)))
            session.told(Report(1, number, consumed, Origin(), (SpeechEnded(number),)))
            final = Final(number, "one", (), 1.0, "en", 0, number, Cause.SILENCE)
            session.told(Report(1, number, consumed, Origin(), (final,)))
            assert len(told) == number

    run(work)
    assert all(0 <= seconds < 5 for seconds in told)


def test_it_is_settled_when_it_has_come_to_where_the_last_worker_was() -> None:
    async def work() -> None:
        session = live()
        hand(session)
        assert not session.settled
        session.push(bytes(6_400))
        session.told(Report(1, 0, 0, Origin(), ()))
        assert session.settled
        session.told(Report(1, 1, 6_400, Origin(), ()))
        hand(session)
        assert not session.settled
        session.told(Report(1, 1, 3_200, Origin(), ()))
        assert not session.settled
        session.told(Report(1, 1, 6_400, Origin(), ()))
        assert session.settled

    run(work)


def test_workers_that_are_never_born_are_tried_so_often_in_a_row() -> None:
    async def work() -> None:
        session = live()
        assert [session.forsaken() for _ in range(TRIES - 1)] == [False] * (TRIES - 1)
        session.told(Report(1, 0, 0, Origin(), ()))
        assert [session.forsaken() for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]

    run(work)


def test_a_session_is_suspect_until_something_new_is_safe() -> None:
    async def work() -> None:
        session = live()
        hand(session)
        session.push(bytes(6_400))
        assert not session.suspect
        assert not session.doomed()
        assert session.suspect
        hand(session)
        session.told(Report(1, 0, 3_200, Origin(3_200), ()))
        assert not session.suspect
        assert not session.doomed()
        assert session.doomed()

    run(work)


def test_a_session_that_is_over_keeps_no_audio() -> None:
    """Whoever still knows it, as a cycle of objects may for minutes, holds nothing of what was said."""

    async def work() -> None:
        session = live()
        hand(session)
        session.push(bytes(640_000))
        session.close()
        session.journal.rewind()
        assert not list(session.journal.due())

    run(work)
