"""vosk-server's own protocol, with a client like those in its repository."""

from __future__ import annotations

from pathlib import Path

from tests.box import kiosk, run
from tests.clients.client import Client, each
from tests.clients.material import FIRST, SECOND, TELEPHONE, recorded, understood
from tests.clients.sdks import WEBSOCKETS

CLIENT = Client("vosk-server", WEBSOCKETS, "vosk_server.py", "ws", called=f"a program with {WEBSOCKETS.title}")


@each((CLIENT,), "a chunk, its answer, the next one, in real time: partials and finals with word times")
def test_real_time(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, pause_s=1.5), pace=1, words=True)
        assert len([line for line in heard.all("partial") if line["text"]]) >= 4
        finals = [line for line in heard.all("final") if line["text"]]
        assert len(finals) == 2
        for final, sentence in zip(finals, (FIRST, SECOND), strict=True):
            understood([final["text"]], sentence)
            assert {"word", "start", "end", "conf"} <= set(final["words"][0])

    run(work)


@each((CLIENT,), "a whole file as fast as its answers come")
def test_whole_file(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box() as daemon:
            heard = await client.run(daemon, recorded(tmp_path, FIRST, SECOND, after_s=0.0))
        understood(heard.texts("final"), FIRST, SECOND)

    run(work)


@each((CLIENT,), "8 kHz, as told in its configuration message")
def test_rate(client: Client, tmp_path: Path) -> None:
    async def work() -> None:
        async with client.box(kiosk()) as daemon:
            heard = await client.run(daemon, recorded(tmp_path, TELEPHONE, rate=8_000), sample_rate=8_000)
        understood(heard.texts("final"), TELEPHONE, errors=0)

    run(work)
