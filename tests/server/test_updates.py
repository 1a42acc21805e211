"""``/v1/update``: who may send, what is put down and asked for, and what is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from appliance.accounts.gate import Accounts
from appliance.accounts.keys import Keys
from appliance.server import updates
from appliance.server.updates import LARGEST, Updates
from tests.box import box, fake, run, url


class Bench:
    """The routes alone, in an open house: an update needs a key of its own even there."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.cache, self.runtime = folder / "cache", folder / "runtime"
        self.cache.mkdir()
        self.runtime.mkdir()
        keys = Keys(folder / "accounts")
        self.admin = keys.create("admin", now=0.0, admin=True)[1]
        self.other = keys.create("other", now=0.0)[1]
        accounts = Accounts(folder / "accounts", open_house=True, clock=lambda: 1.0)
        self.updates = Updates(accounts, self.cache, self.runtime, lambda: {"step": "", "current": "1.0"} | told)

    def ask(self, method: str, key: str | None = None, **request: Any) -> httpx.Response:
        """One request, by default with the right key."""
        transport = httpx.ASGITransport(Starlette(routes=self.updates.routes()))
        headers = {"authorization": f"Bearer {self.admin if key is None else key}"} | request.pop("headers", {})

        async def work() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://box") as web:
                return await web.request(method, "/v1/update", headers=headers, **request)

        return asyncio.run(work())

    @property
    def left(self) -> list[str]:
        """All files that there are now."""
        return sorted(path.name for folder in (self.cache, self.runtime) for path in folder.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_is_put_down_and_asked_for(bench: Bench) -> None:
    answer = bench.ask("PUT", content=b"bundle" * 1_000)
    assert (answer.status_code, answer.json()) == (202, {"pending": True})
    assert (bench.cache / "update.bundle").read_bytes() == b"bundle" * 1_000
    assert (bench.cache / "update.bundle").stat().st_mode & 0o777 == 0o600
    assert bench.left == ["update", "update.bundle"]
    assert bench.ask("GET").json() == {"step": "", "current": "1.0", "pending": True}
    (bench.runtime / "update").unlink()
    assert bench.ask("GET").json()["pending"] is False


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("", 401, "An API key is required"),
        ("sak_unknown", 403, "may not update the box"),
        ("other", 403, "appliance keys set ID --admin"),
    ],
)
def test_who_may_not(bench: Bench, key: str, status: int, words: str) -> None:
    for method in ("GET", "PUT"):
        answer = bench.ask(method, bench.other if key == "other" else key, content=b"x")
        assert (answer.status_code, words in answer.json()["error"]) == (status, True)
    assert bench.left == []


def test_a_key_in_the_address_is_none(bench: Bench) -> None:
    """A page of another origin can make a browser ask for an address, but not with a header of its own."""
    assert bench.ask("PUT", "", params={"key": bench.admin}).status_code == 401


def test_a_key_that_nobody_knows(tmp_path: Path) -> None:
    async def work() -> None:
        async with box(fake(), server={"auth": "keys"}) as daemon, httpx.AsyncClient(base_url=url(daemon)) as web:
            assert (await web.put("/v1/update", headers={"authorization": "Bearer sak_x"})).status_code == 401
            key = Keys(daemon.config.state_dir / "accounts").create("admin", now=0.0, admin=True)[1]
            header = {"authorization": f"Bearer {key}"}
            told = (await web.get("/v1/update", headers=header)).json()
            assert told["current"] is None
            answer = await web.put("/v1/update", headers=header, content=b"x")
            assert (answer.status_code, "appliance update FILE" in answer.json()["error"]) == (503, True)

    run(work)


@pytest.mark.parametrize("told", [{"step": "unpacking"}, {}])
def test_one_at_a_time(tmp_path: Path, told: dict[str, Any]) -> None:
    bench = Bench(tmp_path, **told)
    if not told:
        (bench.runtime / "update").touch()
    answer = bench.ask("PUT", content=b"x")
    assert (answer.status_code, answer.json()["error"]) == (409, "another update is under way")
    assert not (bench.cache / "update.bundle").exists()


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_too_large(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.ask("PUT", content=b"x", headers={"content-length": str(LARGEST + 1)}).status_code == 413
    monkeypatch.setattr(updates, "LARGEST", 10)
    answer = bench.ask("PUT", content=_pieces(b"12345", b"123456"))
    assert (answer.status_code, "at most" in answer.json()["error"]) == (413, True)
    assert bench.left == []
    assert bench.ask("PUT", content=_pieces(b"12345", b"12345")).status_code == 202


def full(*arguments: Any, **options: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("break_it", ["free", "open", "touch", "rename"])
def test_no_room(bench: Bench, monkeypatch: pytest.MonkeyPatch, break_it: str) -> None:
    room = shutil.disk_usage(bench.cache)
    changes: dict[str, Callable[[], None]] = {
        "free": lambda: monkeypatch.setattr(shutil, "disk_usage", lambda folder: room._replace(free=9)),
        "open": lambda: monkeypatch.setattr(updates.os, "open", full),
        "rename": lambda: monkeypatch.setattr(updates.os, "replace", full),
        "touch": lambda: monkeypatch.setattr(Path, "touch", full),
    }
    changes[break_it]()
    answer = bench.ask("PUT", content=b"0123456789")
    assert (answer.status_code, answer.json()["error"].startswith("the disk has no room for it")) == (507, True)
    monkeypatch.undo()
    assert "update" not in bench.left
    assert bench.ask("PUT", content=b"0123456789").status_code == 202


def test_what_the_daemon_s_folder_may_hold_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    """A rest of another attempt, or a trap: it is replaced, and what it leads to stays as it is."""
    (tmp_path / "precious").write_text("keep")
    (bench.cache / "update.new").symlink_to(tmp_path / "precious")
    (bench.cache / "update.bundle").symlink_to(tmp_path / "precious")
    assert bench.ask("PUT", content=b"bundle").status_code == 202
    assert (tmp_path / "precious").read_text() == "keep"
    assert not (bench.cache / "update.bundle").is_symlink()
