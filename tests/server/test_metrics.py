"""The figures: their names and form by themselves, then scraped from a box that has something to tell."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed
from starlette.applications import Starlette
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.core.ports import Capabilities
from appliance.server.feed import Feed, MicrophoneInfo
from appliance.server.lag import LagMeter
from appliance.server.metrics import Metrics, Sources
from tests.box import box, fake, run, url
from tests.speech import silence, tone

BASE_UNITS = ("seconds", "bytes", "celsius", "factor", "level", "info")
"""Of what is measured; the rest are counts and flags."""
OTHER_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|days|kb|mb|mib|kilobytes|megabytes|percent|fahrenheit)(_|$)")

MODEL = Capabilities(
    engine="vosk", model="small-en", language="en", grammar=True, word_confidence=True, sessions_per_worker=8,
    streams_per_core=4,
)  # fmt: skip


class Budget:
    open = 3

    def free(self, model: Capabilities) -> int:
        return 5


def pool(**other: Any) -> Any:
    """Figures as the pool has them."""
    facts: dict[str, Any] = {
        "ready": True, "models": {"small-en": MODEL}, "budget": Budget(), "opened": 12, "audio_s": 200.0, "cpu_s": 50.0,
        "lag_s": 0.25, "ease": 1, "workers": [object(), object()], "crashes": 1, "hangs": 2, "recycled": 3,
    }  # fmt: skip
    return SimpleNamespace(**facts | other)


def desk() -> MicrophoneInfo:
    return MicrophoneInfo(
        name="desk", device="hw:1", state="busy", reason="x", rate=16000, language="en", overruns=4
    )  # fmt: skip


BOARD = SimpleNamespace(
    temperature_c=61.5, throttled=True, under_voltage=False, memory_available_mb=200.0, disk_free_mb=1000.5
)
FULL = Sources(board=lambda: BOARD, skipped=lambda: {"desk": 1.5}, expires=lambda: 1.8e9)


def metrics(sources: Sources = FULL, refusals: Counter[tuple[str, str]] | None = None, **figures: Any) -> Metrics:
    told = Counter({("gnani", "bad_key"): 7}) if refusals is None else refusals
    return Metrics(pool(**figures), {"desk": Feed(desk)}, LagMeter(), told, sources)


def scraped(metrics: Metrics, accept: str = "") -> httpx.Response:
    async def get() -> httpx.Response:
        app = Starlette(routes=[Route("/metrics", metrics.page)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://box") as web:
            return await web.get("/metrics", headers={"accept": accept})

    return asyncio.run(get())


def values(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as ``name{label=value}``."""
    found = {}
    for family in parsed(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_every_figure_is_there():
    made = metrics()
    made.observe(0.04)
    made.observe(7.0)
    found = values(scraped(made).text)
    expected = {
        "appliance_ready": 1,
        "appliance_streams_open": 3,
        "appliance_streams_free{model=small-en}": 5,
        "appliance_streams_opened_total": 12,
        "appliance_audio_seconds_total": 200,
        "appliance_worker_cpu_seconds_total": 50,
        "appliance_real_time_factor": 0.25,
        "appliance_stream_lag_seconds": 0.25,
        "appliance_event_loop_lag_seconds{percentile=99}": 0,
        "appliance_ease_level": 1,
        "appliance_final_latency_seconds_count": 2,
        "appliance_final_latency_seconds_bucket{le=0.025}": 0,
        "appliance_final_latency_seconds_bucket{le=0.05}": 1,
        "appliance_final_latency_seconds_bucket{le=5.0}": 1,
        "appliance_final_latency_seconds_bucket{le=+Inf}": 2,
        "appliance_refusals_total{dialect=gnani,problem=bad_key}": 7,
        "appliance_workers": 2,
        "appliance_worker_crashes_total": 1,
        "appliance_worker_hangs_total": 2,
        "appliance_workers_recycled_total": 3,
        "appliance_microphone_state{microphone=desk,state=busy}": 1,
        "appliance_microphone_overruns_total{microphone=desk}": 4,
        "appliance_microphone_skipped_audio_seconds_total{microphone=desk}": 1.5,
        "appliance_feed_subscribers{microphone=desk}": 0,
        "appliance_feed_dropped_total{microphone=desk}": 0,
        "appliance_board_temperature_celsius": 61.5,
        "appliance_board_throttled": 1,
        "appliance_board_under_voltage": 0,
        "appliance_memory_available_bytes": 200 * 2**20,
        "appliance_disk_free_bytes": 1000.5 * 2**20,
        "appliance_model_info{engine=vosk,language=en,model=small-en}": 1,
        "appliance_certificate_expiry_timestamp_seconds": 1.8e9,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert [name for name in found if name.startswith("appliance_build_info{version=")]
    assert "process_resident_memory_bytes" in found


def test_what_is_not_known_is_left_out():
    nothing = SimpleNamespace(
        temperature_c=None, throttled=None, under_voltage=None, memory_available_mb=None, disk_free_mb=None
    )
    for sources in (Sources(), Sources(board=lambda: nothing)):
        text = scraped(metrics(sources, audio_s=0.0, models={}, ready=False)).text
        for name in ("board", "memory_available", "disk", "certificate", "real_time_factor", "skipped_audio_seconds{"):
            assert f"\nappliance_{name}" not in text
        assert values(text)["appliance_ready"] == 0


def test_names_follow_the_conventions():
    """As promtool's linter has them: prometheus.io/docs/practices/naming."""
    for family in parsed(scraped(metrics()).text):
        if family.name.startswith(("process_", "appliance_final_latency_seconds_created")):
            continue
        assert family.name.startswith("appliance_")
        assert re.fullmatch("[a-z][a-z0-9_]*", family.name)
        assert family.documentation.endswith(".")
        assert not OTHER_UNITS.search(family.name), family.name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert "quantile" not in sample.labels
            assert ("le" in sample.labels) == sample.name.endswith("_bucket")
            if sample.value != int(sample.value) and not sample.name.endswith(("_sum", "_total")):
                assert family.name.endswith(BASE_UNITS), f"{family.name} has no unit"


def test_openmetrics_is_given_where_it_is_asked_for():
    answer = scraped(metrics(), "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert "appliance_refusals" in {family.name for family in openmetrics(answer.text)}
    answer = scraped(metrics())
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x", "text/plain;version=", ",;=", "*/*"])
def test_any_accept_header_is_answered(accept):
    assert values(scraped(metrics(), accept).text)["appliance_ready"] == 1


def test_two_daemons_in_one_process_do_not_share_figures():
    one, other = metrics(), metrics()
    one.observe(1.0)
    assert values(scraped(one).text)["appliance_final_latency_seconds_count"] == 1
    assert values(scraped(other).text)["appliance_final_latency_seconds_count"] == 0


def test_a_label_s_value_cannot_break_the_form():
    text = scraped(metrics(Sources(skipped=lambda: {'a"} 1\nb 2': 1.0}))).text
    assert values(text)['appliance_microphone_skipped_audio_seconds_total{microphone=a"} 1\nb 2}'] == 1


# a box

KEY = "key-that-nobody-may-see"
NATIVE = "/v1/stream?min_speech_ms=32&silence_to_end_ms=300&hangover_ms=96&threshold=0.5"
TEXT = "peacock marzipan"


async def figures(web: httpx.AsyncClient) -> dict[str, float]:
    return values((await web.get("/metrics")).text)


def test_a_box_tells_of_its_streams_and_whom_it_refused_and_nothing_private():
    async def work() -> None:
        settings: dict[str, Any] = {"recognizer": {"detector": "energy"}, "scheduling": {"streams": 2}}
        async with box(fake(words=TEXT.split()), **settings) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            target = f"{url(daemon, 'ws')}{NATIVE}&key={KEY}"
            with pytest.raises(InvalidStatus):
                await connect(f"{url(daemon, 'ws')}{NATIVE}")
            async with connect(target) as one, connect(target):
                with pytest.raises(InvalidStatus):
                    await connect(target)
                during = await figures(web)
                assert during["appliance_streams_open"] == 2
                assert during["appliance_streams_free{model=fake-en}"] == 0
                await one.send(tone(0.7) + silence(0.9))
                async for message in one:
                    if '"final"' in str(message):
                        break
                daemon.pool.on_final(0.04)  # this one came faster than it was spoken, which says nothing of latency
                text = (await web.get("/metrics")).text
            found = values(text)
            assert found["appliance_streams_opened_total"] == 2
            assert found["appliance_final_latency_seconds_count"] >= 1
            assert found["appliance_audio_seconds_total"] > 1
            refused = {name: value for name, value in found.items() if name.startswith("appliance_refusals_total")}
            assert refused == {
                "appliance_refusals_total{dialect=native,problem=no_key}": 1,
                "appliance_refusals_total{dialect=native,problem=too_many_streams}": 1,
            }
            assert not [private for private in (KEY, "127.0.0.1", *TEXT.split()) if private in text]

    run(work)


def test_the_log_s_records_have_fields(caplog):
    async def work() -> None:
        settings: dict[str, Any] = {"recognizer": {"detector": "energy"}, "limits": {"native": {"idle_s": 0.2}}}
        async with box(fake(), **settings) as daemon:
            async with connect(f"{url(daemon, 'ws')}{NATIVE}&key={KEY}") as socket:
                with pytest.raises(ConnectionClosed):
                    while True:
                        await socket.recv()
            with pytest.raises(InvalidStatus):
                await connect(f"{url(daemon, 'ws')}{NATIVE}")

    with caplog.at_level("INFO", logger="appliance.server"):
        run(work)
    told = [record for record in caplog.records if hasattr(record, "dialect")]
    assert {record.dialect for record in told} == {"native"}
    session = next(record.session for record in told if record.getMessage().endswith("opened"))
    problems = {record.problem: getattr(record, "session", None) for record in told if hasattr(record, "problem")}
    assert problems == {"idle": session, "no_key": None}
    assert KEY not in caplog.text
