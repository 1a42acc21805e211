"""Budget and easing together on a simulated box: cores shared evenly, speakers who come and go, heat.

Nothing here waits or computes speech: thousands of streams pass in a second or two.
"""

import random
from dataclasses import dataclass, field

import pytest

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.scheduling.budget import Budget
from appliance.scheduling.ease import SLOWER, Ease, Level

STEP_S = 0.1
PARTIALS = 0.3
"""Of a stream's cost."""
COSTS = {"small": 0.05, "middle": 0.2, "large": 0.45}


def model(name):
    return Capabilities(
        engine="fake",
        model=name,
        language="en",
        grammar=False,
        word_confidence=True,
        sessions_per_worker=64,
        streams_per_core=4,
    )


MODELS = {name: model(name) for name in COSTS}


@dataclass
class Stream:
    model: str
    ends: float
    reserved: bool = False
    backlog: float = 0.0
    """Core seconds that are due and not done."""
    worst: float = 0.0

    def cost(self, level):
        slower = SLOWER[level]
        return COSTS[self.model] * (1 - PARTIALS + (PARTIALS / slower if slower else 0.0))


@dataclass
class Box:
    """``speed(t)`` is the share of its nominal speed; ``effort(stream)`` the share of its cost that a stream takes."""

    cores: float
    headroom: float
    microphones: tuple = ()
    at: float = 0.0
    streams: list = field(default_factory=list)
    changes: list = field(default_factory=list)
    refused: int = 0
    admitted: int = 0
    worst: float = 0.0

    def __post_init__(self):
        self.budget = Budget(self.cores, headroom=self.headroom)
        self.budget.price(COSTS)
        self.budget.reserve(MODELS[name] for name in self.microphones)
        self.ease = Ease()

    def offer(self, name, length, reserved=False):
        """A stream comes; whether it was let in."""
        room, level = self.budget.free(MODELS[name]), self.ease.level
        try:
            self.budget.take(MODELS[name], reserved=reserved)
        except Refused as refused:
            assert refused.problem.kind is Kind.TOO_MANY_STREAMS
            assert not reserved, "a microphone comes first"
            assert room == 0, "there was room"
            assert level is Level.REFUSING or self.used_and_held() + COSTS[name] > self.budget.limit
            self.refused += 1
            return False
        assert reserved or room > 0
        self.streams.append(Stream(name, self.at + length, reserved))
        self.admitted += 1
        return True

    def used_and_held(self):
        held = list(self.microphones)
        for stream in self.streams:
            if stream.reserved:
                held.remove(stream.model)
        return self.budget.used + sum(COSTS[name] for name in held)

    def step(self, speed):
        """A tenth of a second: the cores are shared by whoever has work; nobody gets more than one core."""
        for stream in self.streams:
            stream.backlog += stream.cost(self.ease.level) * STEP_S
        share(self.streams, self.cores * speed * STEP_S, speed * STEP_S)
        self.at += STEP_S
        for stream in self.streams:
            stream.worst = max(stream.worst, stream.backlog / COSTS[stream.model])
        self.worst = max([self.worst, *(stream.worst for stream in self.streams)])
        for stream in [stream for stream in self.streams if stream.ends <= self.at]:
            self.streams.remove(stream)
            self.budget.give_back(MODELS[stream.model], reserved=stream.reserved)
        if len(self.streams) > 1:  # one that is alone is let in whatever it costs
            assert self.used_and_held() <= self.budget.limit + 1e-6

    def second(self, speed):
        for _ in range(round(1 / STEP_S)):
            self.step(speed)
        late = max((stream.backlog / COSTS[stream.model] for stream in self.streams), default=0.0)
        before = self.ease.level
        if self.streams:
            self.ease.observe(late, self.at)
        else:
            self.ease = Ease()
        if self.ease.level is not before:
            self.changes.append((self.at, self.ease.level))
            self.budget.closed = "behind" if self.ease.level is Level.REFUSING else ""


def share(streams, work, most):
    """Processor sharing: equal parts, and what one does not need goes to the others."""
    hungry = [stream for stream in streams if stream.backlog > 0]
    while hungry and work > 1e-12:
        part = min(work / len(hungry), most)
        taken = 0.0
        for stream in hungry:
            done = min(part, stream.backlog)
            stream.backlog -= done
            taken += done
        work -= taken
        hungry = [stream for stream in hungry if stream.backlog > 1e-12]
        if part >= most:
            return


def churn(box, rng, per_second, names):
    """Arrivals of this second, more than fit."""
    for _ in range(rng.randrange(2 * per_second + 1)):
        box.offer(rng.choice(names), rng.expovariate(1 / 20))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cores", [1.0, 3.4, 4.0])
def test_thousands_of_arrivals_on_a_box_in_good_health(seed, cores):
    rng = random.Random(seed)
    box = Box(cores, 0.8, microphones=("small", "middle"))
    for _ in range(600):
        churn(box, rng, 3, list(COSTS))
        box.second(1.0)
    assert box.admitted + box.refused > 1000
    assert box.refused > box.admitted / 2
    assert box.worst <= STEP_S + 1e-6, "every stream is served as its audio comes"
    assert box.changes == []


@pytest.mark.parametrize("seed", range(4))
def test_a_microphone_always_gets_its_place(seed):
    """However full clients have made the box, and however far behind it is."""
    rng = random.Random(seed)
    box = Box(2.0, 0.8, microphones=("middle", "large"))
    for second in range(900):
        churn(box, rng, 4, list(COSTS))
        listening = {stream.model for stream in box.streams if stream.reserved}
        for name in set(box.microphones) - listening:
            if rng.random() < 0.2:
                assert box.offer(name, rng.uniform(5, 60), reserved=True)
        box.second(0.5 if 300 <= second < 400 else 1.0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("speed", [0.5, 0.7])
def test_heat_is_answered_in_steps_and_forgotten_afterwards(seed, speed):
    rng = random.Random(seed)
    box = Box(4.0, 0.8, microphones=("small",))
    heat = range(200, 500)
    for second in range(1200):
        churn(box, rng, 3, list(COSTS))
        box.second(speed if second in heat else 1.0)
    levels = [level for _, level in box.changes]
    assert max(levels) >= Level.SLOWER_PARTIALS
    assert box.changes[0][0] <= heat.start + 30, "it is noticed"
    assert box.changes[0][0] > heat.start
    assert box.ease.level is Level.NORMAL, "it is over"
    assert box.changes[-1][0] <= heat.stop + 300
    assert box.worst < 10.0, "nobody is left behind"
    assert len(levels) <= 24, "it does not swing"
    assert all(abs(one - other) == 1 for one, other in zip([0, *levels], levels, strict=False))


def test_steady_streams_at_the_limit_survive_a_slower_box_with_one_step():
    """Full to the headroom, and 20 % slower than measured: without partials it fits again, and it stays so."""
    box = Box(2.0, 0.9)
    while box.offer("middle", 3600.0):
        pass
    for _ in range(900):
        box.second(0.8)
    assert box.ease.level in (Level.SLOWER_PARTIALS, Level.NO_PARTIALS)
    assert box.worst < 5.0
    assert len(box.changes) <= 16


def test_a_box_too_slow_for_its_model_lets_one_in_and_no_more():
    box = Box(0.3, 0.8)
    assert box.offer("large", 60.0)
    assert not box.offer("small", 60.0)
    for _ in range(70):
        box.second(1.0)
    assert box.offer("large", 60.0)


@pytest.mark.parametrize("seed", range(3))
def test_bursts_of_work_do_not_move_it(seed):
    """Lumps of a second's work now and then, as second passes are; there is room for them in the headroom."""
    rng = random.Random(seed)
    box = Box(2.0, 0.8)
    for _ in range(8):
        box.offer("middle", 3600.0)
    for second in range(600):
        if second % 12 == 0:
            rng.choice(box.streams).backlog += 0.2
        box.second(1.0)
    assert box.changes == []
