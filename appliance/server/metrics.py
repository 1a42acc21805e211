"""``/metrics``: the box's figures for Prometheus. They are read when they are asked for; nothing is paid in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from appliance import __version__
from appliance.scheduling.pool import Pool
from appliance.server.feed import Feed
from appliance.server.lag import LagMeter

LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
"""Buckets of the finals' latency."""
PERCENTILES = (50, 90, 99)
"""Of the event loop's lag."""
MIB = 1 << 20

BOX = {
    "certificate_expiry_timestamp_seconds": "When the certificate expires.",
    "board_temperature_celsius": "Of the hottest part of the processor.",
    "board_throttled": "Whether the processor is made slower, for heat or for want of power.",
    "board_under_voltage": "Whether the board gets too little voltage.",
    "memory_available_bytes": "Memory left to the service.",
    "disk_free_bytes": "Room on the disk that keeps the state.",
}

Labels = tuple[str, ...]


class Board(Protocol):
    """What the board tells of itself; ``None`` where it does not."""

    @property
    def temperature_c(self) -> float | None: ...
    @property
    def throttled(self) -> bool | None: ...
    @property
    def under_voltage(self) -> bool | None: ...
    @property
    def memory_available_mb(self) -> float | None: ...
    @property
    def disk_free_mb(self) -> float | None: ...


class Sources(Struct, frozen=True, kw_only=True):
    """Figures of parts that the server does not know, asked for at each scrape; they must not block."""

    board: Callable[[], Board | None] = lambda: None
    skipped: Callable[[], Mapping[str, float]] = dict
    """Seconds of audio that was not listened to, by microphone."""
    connections: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Those open now, and those refused so far because too many were."""
    expires: Callable[[], float | None] = lambda: None
    """When the certificate does, in seconds since 1970."""


class Metrics(Collector):
    """Of one daemon. ``observe`` takes the seconds between the audio that completed a final and its being told."""

    def __init__(
        self,
        pool: Pool,
        feeds: Mapping[str, Feed],
        lag: LagMeter,
        refusals: Mapping[tuple[str, str], int],
        sources: Sources,
    ) -> None:
        """``refusals``: (dialect, problem) -> clients."""
        self._pool = pool
        self._feeds = feeds
        self._lag = lag
        self._refusals = refusals
        self._sources = sources
        self._families: tuple[Metric, ...] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._latency = Histogram(
            "appliance_final_latency_seconds",
            "From the arrival of the audio that completed a final to the final's being told.",
            buckets=LATENCY_S,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)
        self.observe: Callable[[float], None] = self._latency.observe

    async def page(self, request: Request) -> Response:
        """Prometheus' text format, or OpenMetrics where that is asked for. Written in a thread: that takes longer."""
        self._families = tuple(self._gathered())
        try:
            encode, media = choose_encoder(request.headers.get("accept", ""))
        except TypeError:  # of a version that is no number
            encode, media = choose_encoder("")
        return Response(await asyncio.to_thread(encode, self._registry), headers={"content-type": media})

    def collect(self) -> Iterable[Metric]:
        """The figures as they were gathered last; for the registry, from any thread."""
        return self._families

    def _gathered(self) -> Iterator[Metric]:
        """All figures now. In the event loop, whose parts change under the hands of a thread."""
        yield from self._streams()
        yield from self._workers()
        yield from self._microphones()
        yield from self._box()

    def _streams(self) -> Iterator[Metric]:
        pool = self._pool
        free = [((name,), pool.budget.free(model)) for name, model in pool.models.items()]
        models = [(model.model, model.engine, model.language) for model in pool.models.values()]
        late = [((str(percent),), self._lag.percentile(percent / 100)) for percent in PERCENTILES]
        yield _gauge("ready", "Whether a model is loaded and streams can be served.", pool.ready)
        yield _gauge("streams_open", "Streams being served, those of microphones included.", pool.budget.open)
        yield _gauges("streams_free", "Streams there is room for.", ("model",), free)
        yield _count("streams_opened", "Streams served so far.", pool.opened)
        yield _count("audio_seconds", "Audio dealt with.", pool.audio_s)
        yield _gauge("stream_lag_seconds", "How far the worst stream is behind now.", pool.lag_s)
        yield _gauge(
            "ease_level", "0: all is well; 1: slower partials; 2: none; 3: none, and no new streams.", pool.ease
        )
        yield _gauges("event_loop_lag_seconds", "How late the event loop was.", ("percentile",), late)
        yield _counts("refusals", "Clients refused or cut off.", ("dialect", "problem"), self._refusals.items())
        yield _info("model", "The models that are loaded.", ("model", "engine", "language"), models)

    def _workers(self) -> Iterator[Metric]:
        pool = self._pool
        yield _gauge("workers", "Processes that recognise.", len(pool.workers))
        yield _count("worker_cpu_seconds", "Processor time of the workers.", pool.cpu_s)
        yield _count("worker_crashes", "Workers that died.", pool.crashes)
        yield _count("worker_hangs", "Workers replaced because they did not get on.", pool.hangs)
        yield _count("workers_recycled", "Workers replaced because they had served enough.", pool.recycled)
        if pool.audio_s:
            factor = pool.cpu_s / pool.audio_s
            yield _gauge("real_time_factor", "Processor seconds per second of audio, so far.", factor)

    def _microphones(self) -> Iterator[Metric]:
        known = [feed.describe() for feed in self._feeds.values()]
        label = ("microphone",)
        states = [((one.name, one.state), 1) for one in known]
        overruns = [((one.name,), one.overruns) for one in known]
        skipped = [((name,), seconds) for name, seconds in self._sources.skipped().items()]
        subscribers = [((name,), feed.subscribers) for name, feed in self._feeds.items()]
        dropped = [((name,), feed.dropped) for name, feed in self._feeds.items()]
        yield _gauges("microphone_state", "1 for the state it is in.", ("microphone", "state"), states)
        yield _counts("microphone_overruns", "Times that the card lost audio.", label, overruns)
        yield _counts("microphone_skipped_audio_seconds", "Audio that was not listened to.", label, skipped)
        yield _gauges("feed_subscribers", "Who listens to its words.", label, subscribers)
        yield _counts("feed_dropped", "Subscribers dropped because they read too slowly.", label, dropped)

    def _box(self) -> Iterator[Metric]:
        yield _info("build", "The program.", ("version",), [(__version__,)])
        connections, refused = self._sources.connections()
        yield _gauge("connections_open", "Connections of clients, of all kinds.", connections)
        yield _count("connections_refused", "Connections refused because too many were open.", refused)
        figures = {"certificate_expiry_timestamp_seconds": self._sources.expires()}
        board = self._sources.board()
        if board is not None:
            figures |= {
                "board_temperature_celsius": board.temperature_c,
                "board_throttled": board.throttled,
                "board_under_voltage": board.under_voltage,
                "memory_available_bytes": _bytes(board.memory_available_mb),
                "disk_free_bytes": _bytes(board.disk_free_mb),
            }
        yield from (_gauge(name, BOX[name], value) for name, value in figures.items() if value is not None)


def _bytes(mib: float | None) -> float | None:
    return None if mib is None else mib * MIB


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"appliance_{name}", text, value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"appliance_{name}", text, value)


def _gauges(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(f"appliance_{name}", text, labels=labels)
    for which, value in values:
        family.add_metric(which, value)
    return family


def _counts(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = CounterMetricFamily(f"appliance_{name}", text, labels=labels)
    for which, value in values:
        family.add_metric(which, value)
    return family


def _info(name: str, text: str, labels: Labels, rows: Iterable[Labels]) -> Metric:
    family = InfoMetricFamily(f"appliance_{name}", text, labels=labels)
    for row in rows:
        family.add_metric(row, {})
    return family
