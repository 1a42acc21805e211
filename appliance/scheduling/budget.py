"""How many streams fit. Pure arithmetic on what a stream of each model costs, in cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused

EPSILON = 1e-9
AGAIN = 2
"""A microphone that was pulled out and put in begins anew while its last words are still being recognised."""


class Budget:
    """Promises at most ``headroom`` (a share) of the cores; ``streams`` caps the number instead, whatever they cost.

    Microphones come first: what was set aside for them by ``reserve`` no client can take. When nothing is open one
    stream always fits, because a box that is too slow must still try.
    """

    def __init__(self, cores: float, streams: int = 0, headroom: float = 1.0) -> None:
        self.cores = cores
        self.headroom = headroom
        self.costs: dict[str, float] = {}
        """Measured; cores per stream of a model. Others have the adapter's guess, which leaves the headroom itself."""
        self.closed = ""
        """Why clients get nothing just now, if so."""
        self._streams = streams
        self._models: dict[str, Capabilities] = {}
        self._reserved: Counter[str] = Counter()
        self._microphones: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Streams, those of microphones included."""
        return self._clients.total() + self._microphones.total()

    @property
    def used(self) -> float:
        """Cores promised to the streams that are open."""
        return self._sum(self._clients) + self._sum(self._microphones)

    @property
    def limit(self) -> float:
        """Cores that may be promised."""
        return self.cores * self.headroom

    def cost(self, model: Capabilities) -> float:
        """Of one stream, in cores."""
        return self.costs.get(model.model, self.headroom / model.streams_per_core)

    def price(self, costs: Mapping[str, float]) -> None:
        """What was measured counts from now on."""
        self.costs.update(costs)

    def reserve(self, models: Iterable[Capabilities]) -> None:
        """Set room aside for these microphones, instead of those before."""
        self._reserved = Counter(self._know(model) for model in models)

    def check(self, model: Capabilities, *, reserved: bool = False) -> None:
        """Refused when there is no room for one more stream; ``reserved``: a microphone's, with room set aside."""
        if reserved and self._microphones[model.model] < self._reserved[model.model] * AGAIN:
            return
        if not self.open:
            return
        if self.closed:
            raise Refused(Kind.TOO_MANY_STREAMS, self.closed)
        if not self._room(model, self._clients):
            raise Refused(Kind.TOO_MANY_STREAMS, f"{self.open} are open")

    def fits_without(self, model: Capabilities, ended: Iterable[Capabilities]) -> bool:
        """Return whether a client's stream of ``model`` would fit once these streams of clients have ended."""
        clients = self._clients - Counter(each.model for each in ended)
        if not clients.total() + self._microphones.total():
            return True
        return not self.closed and self._room(model, clients) > 0

    def take(self, model: Capabilities, *, reserved: bool = False) -> None:
        """Room for one more stream. Refused when there is none."""
        self.check(model, reserved=reserved)
        (self._microphones if reserved else self._clients)[self._know(model)] += 1

    def give_back(self, model: Capabilities, *, reserved: bool = False) -> None:
        """A stream has ended."""
        (self._microphones if reserved else self._clients)[model.model] -= 1

    def free(self, model: Capabilities) -> int:
        """How many more streams of clients fit now."""
        if not self.open:
            return max(1, self._room(model, self._clients))
        return 0 if self.closed else self._room(model, self._clients)

    def _room(self, model: Capabilities, clients: Counter[str]) -> int:
        held = clients + (self._microphones | self._reserved)
        if self._streams:
            return max(0, self._streams - held.total())
        return max(0, int((self.limit - self._sum(held) + EPSILON) / self.cost(model)))

    def _know(self, model: Capabilities) -> str:
        self._models[model.model] = model
        return model.model

    def _sum(self, streams: Counter[str]) -> float:
        return sum(count * self.cost(self._models[name]) for name, count in streams.items() if count)
