"""The panel with a clock of its own: what is lit when, and what happens when a lamp cannot be lit."""

from __future__ import annotations

import asyncio

import pytest

from appliance.board.lamps import NoLamps, RecordingLamps
from appliance.board.lights import Facts, Lamp
from appliance.board.panel import RETRY_S, Panel

MICROPHONE, STATUS, ACTIVITY = Lamp.MICROPHONE, Lamp.STATUS, Lamp.ACTIVITY


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A panel and all one needs to look at it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lamps = RecordingLamps()
        self.panel = Panel(self.lamps, self.clock)

    def play(self, seconds: float) -> list[tuple[float, Lamp, bool]]:
        """Let time pass as ``run`` does: from edge to edge. What was switched, and when."""
        began, end, seen = self.clock.now, self.clock.now + seconds, []
        while (delay := self._tick(began, seen)) is not None and self.clock.now + delay < end:
            self.clock.now += delay
        self.clock.now = end
        return seen

    def _tick(self, began: float, seen: list[tuple[float, Lamp, bool]]) -> float | None:
        known = len(self.lamps.history)
        delay = self.panel.tick()
        seen += [(round(self.clock.now - began, 3), *change) for change in self.lamps.history[known:]]
        return delay


def test_what_is_shown_is_lit_at_once_and_steady_light_needs_no_wakeups() -> None:
    desk = Desk()
    desk.panel.show(Facts(microphones=1))
    assert desk.lamps.lit() == {STATUS}
    assert desk.panel.tick() is None
    assert len(desk.lamps.history) == 3, "each lamp is set once, also one that is to be dark"


def test_blinking_is_on_time() -> None:
    desk = Desk()
    desk.panel.show(Facts(starting=True))
    assert desk.play(2.2) == [(0.5, STATUS, False), (1.0, STATUS, True), (1.5, STATUS, False), (2.0, STATUS, True)]


def test_a_late_wakeup_does_not_shift_the_pattern() -> None:
    desk = Desk()
    desk.panel.show(Facts(starting=True))
    desk.clock.now += 0.62
    assert desk.panel.tick() == pytest.approx(0.38)
    assert desk.lamps.lit() == set()


def test_a_fact_that_changes_nothing_leaves_the_pattern_running() -> None:
    desk = Desk()
    desk.panel.show(Facts(starting=True, clients=1))
    desk.clock.now += 0.4
    desk.panel.show(Facts(starting=True, clients=2))
    assert desk.panel.tick() == pytest.approx(0.1)


def test_muted_flashes_once_in_two_seconds() -> None:
    desk = Desk()
    desk.panel.show(Facts(muted=True, microphones=1))
    flashes = [(at, on) for at, lamp, on in desk.play(4.0) if lamp is MICROPHONE]
    assert flashes == [(0.12, False), (2.0, True), (2.12, False)]


def test_the_lamp_is_lit_from_before_the_card_is_opened_until_after_it_is_closed() -> None:
    desk = Desk()
    desk.panel.show(Facts(microphones=2))
    assert desk.panel.opening() is None
    assert MICROPHONE in desk.lamps.lit()
    assert desk.panel.opening() is None
    desk.panel.show(Facts(microphones=2, muted=True, fault=True))
    desk.panel.closed()
    desk.play(5.0)
    assert MICROPHONE in desk.lamps.lit(), "the other card is still open, whatever is shown"
    desk.panel.closed()
    desk.play(1.0)
    assert MICROPHONE not in desk.lamps.lit()


def test_a_lamp_that_cannot_be_lit_keeps_the_card_closed(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.lamps.broken.append(MICROPHONE)
    desk.panel.show(Facts(microphones=1))
    assert not desk.panel.microphone_lit()
    assert desk.panel.opening() == "the microphone lamp cannot be lit: lamp microphone: broken"
    desk.panel.opening()
    desk.play(60.0)
    assert [record.levelname for record in caplog.records] == ["ERROR"], "told once"
    assert desk.panel.opening()
    desk.lamps.broken.clear()
    assert desk.panel.opening() is None, "the lamp is tried at once, not only when its time has come"
    assert desk.panel.microphone_lit()
    assert MICROPHONE in desk.lamps.lit()


def test_a_refused_card_is_not_counted() -> None:
    desk = Desk()
    desk.lamps.broken.append(MICROPHONE)
    desk.panel.opening()
    desk.lamps.broken.clear()
    desk.panel.show(Facts(microphones=1))
    assert MICROPHONE not in desk.lamps.lit()


def test_a_broken_lamp_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    desk = Desk()
    desk.lamps.broken.append(STATUS)
    desk.panel.show(Facts())
    assert desk.panel.tick() == RETRY_S
    desk.lamps.broken.clear()
    desk.clock.now += RETRY_S
    assert desk.panel.tick() is None
    assert desk.lamps.lit() == {STATUS}
    assert [record.message for record in caplog.records] == [
        "the status lamp is out of order: lamp status: broken",
        "the status lamp works again",
    ]


def test_without_lamps_cards_may_be_opened_and_nothing_wakes() -> None:
    panel = Panel(NoLamps())
    panel.show(Facts(starting=True))
    assert panel.microphone_lit()
    assert panel.opening() is None
    assert panel.tick() is None


def test_closing_gives_the_lamps_back() -> None:
    desk = Desk()
    desk.panel.close()
    assert desk.lamps.closed


def test_run_plays_and_notices_a_change_while_it_waits() -> None:
    class Told(RecordingLamps):
        def set(self, lamp: Lamp, on: bool) -> None:
            super().set(lamp, on)
            told.set()

    async def main() -> None:
        lamps = Told()
        panel = Panel(lamps, asyncio.get_running_loop().time)
        playing = asyncio.create_task(panel.run())
        await asyncio.sleep(0)
        panel.show(Facts(speech=True))
        async with asyncio.timeout(5):
            while [on for lamp, on in lamps.history if lamp is STATUS][:4] != [True, False, True, False]:
                told.clear()
                await told.wait()
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing

    told = asyncio.Event()
    asyncio.run(main(), debug=True)


def test_run_tries_a_broken_lamp_at_leisure_and_can_be_cancelled_at_any_time() -> None:
    class Counting(RecordingLamps):
        tries = 0

        def set(self, lamp: Lamp, on: bool) -> None:
            self.tries += 1
            super().set(lamp, on)

    async def main() -> None:
        lamps = Counting()
        lamps.broken += [STATUS, MICROPHONE]
        panel = Panel(lamps, asyncio.get_running_loop().time)
        panel.show(Facts(microphones=1))
        playing = asyncio.create_task(panel.run())
        for _ in range(100):
            await asyncio.sleep(0)
            panel.show(Facts(microphones=1))
        assert lamps.tries == len(Lamp)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing

    asyncio.run(main(), debug=True)
