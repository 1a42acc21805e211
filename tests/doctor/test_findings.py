"""A verdict follows from what is wrong; a check that fails is a finding."""

from __future__ import annotations

import pytest

from appliance.doctor.findings import Finding, Verdict, examine, finding, worst


def test_the_verdict_follows_from_what_is_wrong() -> None:
    assert finding("disk", ["5 MiB"]).verdict is Verdict.GOOD
    assert finding("disk", ["5 MiB"], notes=["low"]).verdict is Verdict.NOTE
    bad = finding("disk", ["5 MiB"], bad=["full"], notes=["low"], advice="make room")
    assert bad == Finding(title="disk", facts=("5 MiB", "full", "low"), verdict=Verdict.BAD, advice="make room")


def test_a_check_that_raises_is_a_finding_and_the_others_go_on() -> None:
    def broken(subject: str) -> Finding:
        raise PermissionError(13, "Permission denied", subject)

    found = examine("/x", {"one": broken, "two": lambda subject: finding("two", [subject])})
    assert [each.title for each in found] == ["one", "two"]
    assert found[0].facts == ("could not be told: [Errno 13] Permission denied: '/x'",)
    assert found[0].verdict is Verdict.NOTE
    assert found[1].facts == ("/x",)


@pytest.mark.parametrize(
    ("verdicts", "gravest"), [([], "good"), (["good", "note"], "note"), (["bad", "good", "note"], "bad")]
)
def test_the_gravest(verdicts: list[str], gravest: str) -> None:
    assert worst([Finding(title="", facts=(), verdict=Verdict(each)) for each in verdicts]) == gravest
