"""How many streams fit. Pure arithmetic; the figures of each model come from its engine's adapter for now."""

from __future__ import annotations

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused

EPSILON = 1e-9


class Budget:
    """Each stream takes the share of a core its model says; ``streams`` caps their number whatever they cost."""

    def __init__(self, cores: int, streams: int = 0) -> None:
        self.used = 0.0
        self.open = 0
        self._cores = cores
        self._streams = streams

    def check(self, model: Capabilities) -> None:
        """Refused when there is no room for one more stream."""
        full = self._streams and self.open >= self._streams
        if full or (not self._streams and self.used + self._share(model) > self._cores + EPSILON):
            raise Refused(Kind.TOO_MANY_STREAMS, f"{self.open} are open")

    def take(self, model: Capabilities) -> None:
        """Room for one more stream. Refused when there is none."""
        self.check(model)
        self.used += self._share(model)
        self.open += 1

    def give_back(self, model: Capabilities) -> None:
        """A stream has ended."""
        self.used -= self._share(model)
        self.open -= 1

    def free(self, model: Capabilities) -> int:
        """How many more streams of this model fit now."""
        if self._streams:
            return max(0, self._streams - self.open)
        return max(0, int((self._cores - self.used + EPSILON) / self._share(model)))

    @staticmethod
    def _share(model: Capabilities) -> float:
        return 1 / model.streams_per_core
