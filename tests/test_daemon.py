"""What the daemon tells systemd over its life, and what a reload does: a whole daemon with a fake engine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from appliance import canary
from appliance.config import Config, ConfigError, load
from appliance.daemon import Daemon
from appliance.engines.registry import EngineError
from appliance.packs.selection import Selection
from tests.board.sockets import listening, received
from tests.box import fake, run

LIMIT_S = 30.0


class Systemd:
    """What it has been told so far."""

    def __init__(self, socket: object) -> None:
        self._socket = socket
        self.told: list[str] = []

    def look(self) -> list[str]:
        self.told += [datagram.decode() for datagram in received(self._socket)]  # type: ignore[arg-type]
        return self.told

    async def until(self, words: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not any(words in message for message in self.look()):
                await asyncio.sleep(0.02)

    def count(self, words: str) -> int:
        return sum(words in message for message in self.look())


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    with listening(str(tmp_path / "notify")) as socket:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Systemd(socket)


def configuration(state: Path, **tables: dict[str, object]) -> Config:
    own = {"state_dir": str(state), "port": 0}
    given = {"tls": {"enabled": False}, "microphones": [], "scheduling": {"calibrate": False}}
    return load(None, {"server": own, **given, **tables})  # type: ignore[dict-item]


def test_it_is_ready_when_a_model_is_warm_and_says_that_it_stops(tmp_path, systemd):
    async def work() -> None:
        daemon = Daemon(configuration(tmp_path), Selection((fake(),), "the test"))
        serving = asyncio.create_task(daemon.run())
        await systemd.until("READY=1\nSTATUS=ready: 0 streams open")
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        assert [message.split("\n")[0] for message in systemd.look() if "=1" in message] == ["READY=1", "STOPPING=1"]

    run(work)


def test_a_stop_while_it_measures_is_obeyed_at_once_and_nothing_is_ready(tmp_path, systemd):
    async def work() -> None:
        stuck = fake(hang_on=int(canary.load().samples.max()))
        daemon = Daemon(configuration(tmp_path, scheduling={"calibrate": True}), Selection((stuck,), "the test"))
        serving = asyncio.create_task(daemon.run())
        await systemd.until("measuring")
        daemon.stop()
        async with asyncio.timeout(LIMIT_S):
            await serving
        assert systemd.count("READY=1") == 0
        assert systemd.count("STOPPING=1") == 1

    run(work)


def test_without_a_model_it_comes_up_under_systemd_and_is_not_ready_whatever_is_reloaded(tmp_path, systemd):
    config = configuration(tmp_path, recognizer={"model": "nope"})

    async def work() -> None:
        daemon = Daemon(config, again=lambda: config)
        serving = asyncio.create_task(daemon.run())
        await systemd.until("STATUS=no model: the model nope is not installed")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        daemon.stop()
        await serving
        assert systemd.count("READY=1") == systemd.count("RELOADING=1") == 0

    run(work)


def test_without_a_model_it_is_an_error_where_nobody_looks_after_it(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with pytest.raises(EngineError, match="nope"):
        Daemon(configuration(tmp_path, recognizer={"model": "nope"}))


def test_a_reload_takes_what_can_change_names_the_rest_and_refuses_mistakes(tmp_path, systemd):
    first = configuration(tmp_path)
    now: list[Config | ConfigError] = [first]

    def again() -> Config:
        if isinstance(now[0], ConfigError):
            raise now[0]
        return now[0]

    async def work() -> None:
        daemon = Daemon(first, Selection((fake(),), "the test"), again)
        serving = asyncio.create_task(daemon.run())
        await systemd.until("READY=1")
        now[0] = configuration(tmp_path, endpointing={"silence_to_end_ms": 250}, discovery={"name": "kitchen"})
        daemon.reload()
        assert daemon.config.endpointing.silence_to_end_ms == 250
        assert daemon.config.discovery == first.discovery
        await systemd.until("reload: needs a restart: discovery")
        now[0] = ConfigError("box.toml: server.port: Expected `int`")
        daemon.reload()
        assert daemon.config.endpointing.silence_to_end_ms == 250
        await systemd.until("reload: refused, all is as before: box.toml: server.port: Expected `int`")
        now[0] = structs.replace(first, board=structs.replace(first.board, profile="pi-6"))
        daemon.reload()
        await systemd.until("there is no board profile called 'pi-6'")
        now[0] = first
        daemon.reload()
        await systemd.until("RELOADING=1")
        assert systemd.look()[-1].startswith("READY=1\nSTATUS=ready: 0 streams open")
        assert "reload" not in systemd.look()[-1]
        assert systemd.count("RELOADING=1") == systemd.count("READY=1") - 1 == 4
        daemon.stop()
        await serving

    run(work)


def test_a_part_that_fails_ends_the_daemon_and_says_so(tmp_path, systemd, caplog):
    async def failing() -> None:
        raise OSError("no more of this")

    async def work() -> None:
        daemon = Daemon(configuration(tmp_path), Selection((fake(),), "the test"))
        serving = asyncio.create_task(daemon.run())
        await systemd.until("READY=1")
        daemon._begin(failing())
        async with asyncio.timeout(LIMIT_S):
            await serving
        assert "no more of this" in daemon.failed

    run(work)
    assert "a part of the daemon has failed: no more of this" in caplog.text


def test_daemon_gives_each_model_the_share_for_partials(tmp_path):
    tables = {"scheduling": {"calibrate": False, "partial_share": 0.2}}
    daemon = Daemon(configuration(tmp_path, **tables), Selection((fake("en"), fake("de")), "the test"))

    async def work() -> None:
        running = asyncio.create_task(daemon.run(lambda _: daemon.stop()))
        await running
        assert [model.partial_share for model in daemon.pool.plan.models] == [0.2, 0.2]

    run(work)
