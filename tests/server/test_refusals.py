"""What the log gets of a client that is refused."""

from __future__ import annotations

import logging

import pytest

from appliance.core.problems import READABLE, Kind, Problem
from appliance.server.refusals import MESSAGE, OURS, Refusals

EVIL = "\x1b[31mwords of the client\n"


@pytest.mark.parametrize("session", ["", "2f1d3c2e"])
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in OURS])
def test_add_problem_with_client_text_logs_the_kind_only(
    kind: Kind, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refusals = Refusals()
    refusals.add("native", Problem(kind, EVIL), session)
    (record,) = caplog.records
    assert READABLE[kind] in record.getMessage()
    assert record.problem == kind.value  # type: ignore[attr-defined]
    assert all("words" not in str(value) for value in vars(record).values())
    assert refusals.counts["native", kind.value] == 1


def test_add_problem_of_this_device_logs_its_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Refusals().add("native", Problem(Kind.NOT_READY, "no place to keep an upload: No space left on device"))
    assert "No space left on device" in caplog.text


def test_add_message_of_a_dialect_logs_that_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Refusals().add("native", MESSAGE, "2f1d3c2e")
    assert caplog.messages == ["native session 2f1d3c2e: message"]
