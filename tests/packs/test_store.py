"""Also covers disk, download, layout, record and unpack, which serve nothing but the store."""

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import zipfile

import pytest

from appliance.engines.registry import Context
from appliance.packs import catalogue, disk, unpack
from appliance.packs import store as packs
from appliance.packs.catalogue import Pack
from appliance.packs.sources import Archive
from appliance.packs.store import PackError, Store
from tests.material import shared
from tests.packs.publisher import MODEL, folder, publishing, zipped

NAME = "vosk-model-small-xx-1"
OTHER = {**MODEL, "am/final.mdl": b"other weights"}


def quiet(done, total):
    pass


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


@pytest.fixture
def publisher():
    with publishing() as publisher:
        yield publisher


@pytest.fixture
def listed(publisher, monkeypatch):
    """Put a pack with the publisher's body into the catalogue."""

    def add(size=None, md5=None):
        pack = Pack(
            NAME,
            "vosk",
            "hi",
            licence="Apache-2.0",
            sources=(
                Archive(
                    f"{publisher.url}/models/{NAME}.zip",
                    len(publisher.body) if size is None else size,
                    hashlib.md5(publisher.body).hexdigest() if md5 is None else md5 or None,
                ),
            ),
        )
        monkeypatch.setattr(catalogue, "CATALOGUE", (*catalogue.CATALOGUE, pack))
        return pack

    return add


def own(store):
    return [pack for pack in store.installed() if pack.name not in packs.embedded()]


def content(store, name=NAME):
    root = store.path(name)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "appliance-pack.json"
    }


def leftovers(tmp_path):
    """What is in the store's folder of packs without a link to it."""
    root = tmp_path / "models"
    used = {entry.resolve().name for entry in root.iterdir() if entry.is_symlink()}
    return {path.name for path in (root / ".packs").iterdir()} - used


class TestDownload:
    def test_installs_what_the_catalogue_names(self, store, publisher, listed, tmp_path):
        pack = listed()
        heard = []
        installed = store.install(NAME, progress=lambda done, total: heard.append((done, total)))
        assert (installed.name, installed.engine, installed.language) == (NAME, "vosk", "hi")
        assert installed.licence == "Apache-2.0"
        assert own(store) == [installed]
        assert content(store) == MODEL
        assert store.verify(NAME) == []
        assert heard[-1] == (len(publisher.body), len(publisher.body))
        assert not list((tmp_path / "models" / ".downloads").iterdir())
        record = json.loads((installed.path / "appliance-pack.json").read_text())
        assert record["source"] == pack.sources[0].url
        assert record["files"]["conf/model.conf"] == [12, hashlib.sha256(b"--beam=13.0\n").hexdigest()]

    def test_takes_a_mirror(self, publisher, listed, tmp_path):
        listed()
        Store(tmp_path, publisher.url + "/mirror").install(NAME, progress=quiet)
        assert publisher.requests == [(f"/mirror/{NAME}.zip", None)]

    def test_goes_on_after_broken_connections(self, store, publisher, listed):
        listed()
        publisher.cuts = [1000, 500]
        store.install(NAME, progress=quiet)
        assert [asked for _, asked in publisher.requests] == [None, "bytes=1000-", "bytes=1500-"]
        assert content(store) == MODEL

    def test_gives_up_when_nothing_arrives_and_goes_on_the_next_time(self, store, publisher, listed):
        listed()
        publisher.cuts = [1000, 0]
        with pytest.raises(PackError, match=r"connection to 127\.0\.0\.1 broke after 0\.0 MB"):
            store.install(NAME, progress=quiet)
        assert own(store) == []
        store.install(NAME, progress=quiet)
        assert [asked for _, asked in publisher.requests] == [None, "bytes=1000-", "bytes=1000-"]
        assert content(store) == MODEL

    def test_gives_up_after_some_attempts(self, store, publisher, listed):
        listed()
        publisher.cuts = [10] * 9
        with pytest.raises(PackError, match="broke"):
            store.install(NAME, progress=quiet)
        assert len(publisher.requests) == 5

    def test_begins_again_when_the_server_has_no_ranges(self, store, publisher, listed):
        listed()
        publisher.cuts, publisher.ranges = [1000], False
        store.install(NAME, progress=quiet)
        assert content(store) == MODEL

    def test_begins_again_when_the_server_sends_another_range(self, store, publisher, listed):
        listed()
        publisher.cuts, publisher.shift = [1000], 1
        store.install(NAME, progress=quiet)
        assert [asked for _, asked in publisher.requests] == [None, "bytes=1000-", None]
        assert content(store) == MODEL

    @pytest.mark.parametrize("known", [True, False])
    def test_a_complete_file_is_not_fetched_again(self, store, publisher, listed, known, tmp_path):
        listed(size=None if known else 0)
        (tmp_path / "models" / ".downloads").mkdir(parents=True)
        (tmp_path / "models" / ".downloads" / f"{NAME}.zip.part").write_bytes(publisher.body)
        store.install(NAME, progress=quiet)
        assert publisher.requests == ([] if known else [(f"/models/{NAME}.zip", f"bytes={len(publisher.body)}-")])

    def test_begins_again_when_the_published_file_became_shorter(self, store, publisher, listed, tmp_path):
        listed(size=0)
        (tmp_path / "models" / ".downloads").mkdir(parents=True)
        (tmp_path / "models" / ".downloads" / f"{NAME}.zip.part").write_bytes(b"x" * (len(publisher.body) + 1))
        store.install(NAME, progress=quiet)
        assert content(store) == MODEL

    def test_an_unknown_length_ends_with_the_connection(self, store, publisher, listed):
        listed(size=0, md5="")
        publisher.length = False
        heard = []
        store.install(NAME, progress=lambda done, total: heard.append(total))
        assert set(heard) == {None}

    @pytest.mark.parametrize("lie", [{"md5": "0" * 32}, {"size": 5}], ids=["md5", "size"])
    def test_a_file_other_than_promised_is_removed_and_named(self, store, listed, lie, tmp_path):
        listed(**lie)
        with pytest.raises(PackError, match=rf"{NAME}\.zip has .* it was removed"):
            store.install(NAME, progress=quiet)
        assert own(store) == []
        assert not list((tmp_path / "models" / ".downloads").iterdir())

    def test_a_page_instead_of_a_zip_is_removed(self, store, publisher, listed, tmp_path):
        publisher.body = b"<html>Please log in to the hotel's network</html>"
        listed(size=0, md5="")
        with pytest.raises(PackError, match="damaged or not a zip"):
            store.install(NAME, progress=quiet)
        assert not list((tmp_path / "models" / ".downloads").iterdir())

    def test_a_refusal_is_told(self, store, publisher, listed):
        listed()
        publisher.status = 404
        with pytest.raises(PackError, match=r"answers 404 Not Found"):
            store.install(NAME, progress=quiet)

    def test_without_a_network(self, listed, tmp_path):
        listed()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            store = Store(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}")
            with pytest.raises(PackError, match=r"cannot be reached .* on another machine"):
                store.install(NAME, progress=quiet)

    def test_a_full_disk_is_noticed_before_and_the_part_is_kept(self, store, publisher, listed, monkeypatch, tmp_path):
        listed()
        publisher.cuts = [1000, 0]
        with pytest.raises(PackError, match="broke"):
            store.install(NAME, progress=quiet)
        full = shutil._ntuple_diskusage(10**9, 10**9, 0)
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: full)
        with pytest.raises(PackError, match=r"are needed, only 0\.0 MB are free"):
            store.install(NAME, progress=quiet)
        assert (tmp_path / "models" / ".downloads" / f"{NAME}.zip.part").stat().st_size == 1000


class TestLocal:
    @pytest.mark.parametrize("leading", ["", "model/", "a.b-c/"])
    def test_a_zip(self, store, tmp_path, leading):
        (tmp_path / f"{NAME}.zip").write_bytes(zipped(leading=leading))
        heard = []
        store.install(str(tmp_path / f"{NAME}.zip"), progress=lambda done, total: heard.append((done, total)))
        size = sum(map(len, MODEL.values()))
        assert heard[-1] == (size, size)
        assert content(store) == MODEL
        assert store.verify(NAME) == []

    def test_a_folder(self, store, tmp_path):
        source = folder(tmp_path / "vosk-model-small-uk-v9")
        installed = store.install(str(source), progress=quiet)
        assert (installed.name, installed.language, installed.licence) == ("vosk-model-small-uk-v9", "uk", "")
        assert content(store, installed.name) == MODEL
        assert folder(source) == source

    def test_an_installed_pack_can_be_carried_on(self, store, tmp_path):
        first = store.install(str(folder(tmp_path / NAME)), progress=quiet)
        second = Store(tmp_path / "second").install(str(first.path), progress=quiet, name=NAME)
        assert json.loads((second.path / "appliance-pack.json").read_text())["files"].keys() == MODEL.keys()

    def test_language_and_name_can_be_told(self, store, tmp_path):
        source = folder(tmp_path / "download (1)")
        assert store.install(str(source), progress=quiet, language="SR", name="serbian").language == "sr"
        assert own(store)[0].name == "serbian"

    def test_the_language_may_stay_unknown(self, store, tmp_path):
        assert store.install(str(folder(tmp_path / "mine")), progress=quiet).language == "und"

    @pytest.mark.parametrize(
        ("wish", "told"),
        [
            ({"name": "../evil"}, "cannot name a pack"),
            ({"name": ".hidden"}, "cannot name a pack"),
            ({"name": "whisper-tiny-en"}, "comes with the software"),
            ({"language": "en-US"}, "not a language code"),
        ],
    )
    def test_names_and_languages_that_cannot_be(self, store, tmp_path, wish, told):
        with pytest.raises(PackError, match=told):
            store.install(str(folder(tmp_path / NAME)), progress=quiet, **wish)

    def test_a_source_that_is_nothing(self, store):
        with pytest.raises(PackError, match="neither a pack in the catalogue nor a zip file or folder"):
            store.install("vosk-model-small-hi", progress=quiet)

    @pytest.mark.parametrize("missing", sorted(MODEL.keys() - {"graph/phones/word_boundary.int"}))
    @pytest.mark.parametrize("how", ["missing", "empty"])
    def test_what_is_no_model(self, store, tmp_path, missing, how):
        files = dict(MODEL)
        if how == "missing":
            del files[missing]
        else:
            files[missing] = b""
        (tmp_path / f"{NAME}.zip").write_bytes(zipped(files))
        with pytest.raises(PackError, match=rf"{missing}.* is {how}|not a Vosk model.*{missing}"):
            store.install(str(tmp_path / f"{NAME}.zip"), progress=quiet)
        with pytest.raises(PackError, match="cannot be used"):
            store.install(str(folder(tmp_path / NAME, files)), progress=quiet)
        assert own(store) == []
        assert leftovers(tmp_path) == set()

    @pytest.mark.parametrize(
        "files",
        [
            ["final.mdl", "mfcc.conf", "HCLG.fst", "words.txt"],
            ["final.mdl", "mfcc.conf", "HCLr.fst", "Gr.fst", "disambig_tid.int"],
            ["am/final.mdl", "conf/model.conf", "conf/fbank.conf", "graph/HCLG.fst"],
        ],
    )
    def test_other_layouts_that_vosk_loads(self, store, tmp_path, files):
        store.install(str(folder(tmp_path / NAME, dict.fromkeys(files, b"x"))), progress=quiet)
        assert store.verify(NAME) == []

    def test_a_speaker_adaptation_must_be_complete(self, store, tmp_path):
        source = folder(tmp_path / NAME, {**MODEL, "ivector/final.ie": b"x", "ivector/final.mat": b"x"})
        with pytest.raises(PackError, match=r"ivector/final\.dubm is missing"):
            store.install(str(source), progress=quiet)

    def test_a_folder_with_more_than_files(self, store, tmp_path):
        os.mkfifo(folder(tmp_path / NAME) / "odd")
        with pytest.raises(PackError, match="neither a file nor a folder"):
            store.install(str(tmp_path / NAME), progress=quiet)

    @pytest.mark.parametrize("target", ["secret", "nothing", NAME, "."])
    @pytest.mark.parametrize("place", ["extra", "am/extra"])
    def test_install_folder_with_a_link_is_refused(self, store, tmp_path, target, place):
        (tmp_path / "secret").write_bytes(b"root:$6$")
        source = folder(tmp_path / NAME)
        (source / place).symlink_to(tmp_path / target)
        with pytest.raises(PackError, match="is a link, which is not followed; install a copy made with: cp -rL"):
            store.install(str(source), progress=quiet)
        assert own(store) == []
        assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file() and path.name != ".lock"]

    def test_install_folder_of_links_is_refused(self, store, tmp_path):
        blobs, source = folder(tmp_path / "blobs"), tmp_path / NAME
        for name in MODEL:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).symlink_to(blobs / name)
        with pytest.raises(PackError, match="is a link"):
            store.install(str(source), progress=quiet)
        shutil.copytree(source, tmp_path / "copy", symlinks=False)
        assert store.install(str(tmp_path / "copy"), progress=quiet, name=NAME).name == NAME

    @pytest.mark.parametrize("place", ["am/final.mdl", "am"])
    def test_install_folder_whose_file_becomes_a_link_is_refused(self, store, tmp_path, monkeypatch, place):
        """The folder's owner replaces a part of it after it was listed."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "final.mdl").write_bytes(b"root:$6$")
        source = folder(tmp_path / NAME)
        space = unpack.require_space

        def swap(target, needed):
            space(target, needed)
            shutil.rmtree(source / "am")
            if place == "am":
                (source / "am").symlink_to(tmp_path / "elsewhere")
            else:
                (source / "am").mkdir()
                (source / "am/final.mdl").symlink_to(tmp_path / "elsewhere/final.mdl")

        monkeypatch.setattr(unpack, "require_space", swap)
        with pytest.raises(PackError, match="the disk says"):
            store.install(str(source), progress=quiet)
        assert own(store) == []

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(PackError, match=r"the disk says: .*file"):
            Store(tmp_path / "file" / "models").install(str(folder(tmp_path / NAME)), progress=quiet)


def hostile(name, mode=0o644, content=b"x"):
    """A model's zip with one more entry."""
    packed = io.BytesIO(zipped())
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(info, content)
    return packed.getvalue()


class TestHostileZips:
    @pytest.fixture
    def refused(self, store, tmp_path):
        def check(body, match):
            source = tmp_path / "in" / f"{NAME}.zip"
            source.parent.mkdir()
            source.write_bytes(body)
            with pytest.raises(PackError, match=match):
                store.install(str(source), progress=quiet)
            assert own(store) == []
            assert leftovers(tmp_path) == set()
            assert {path.name for path in tmp_path.iterdir()} == {"in", "models"}

        return check

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("../evil", "leaves its folder"),
            ("model/../../evil", "leaves its folder"),
            ("model/./evil", "leaves its folder"),
            ("model//evil", "leaves its folder"),
            ("..", "leaves its folder"),
            ("/evil", "absolute"),
            ("C:/evil", "portable"),
            ("c:evil", "portable"),
            ("..\\evil", "portable"),
        ],
    )
    def test_names_that_lead_elsewhere(self, refused, name, told):
        refused(hostile(name), told)

    def test_a_name_with_a_hidden_end(self, refused):
        refused(hostile("model/good_evil").replace(b"good_evil", b"good\0evil"), "portable")

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
    def test_links_and_devices(self, refused, kind):
        refused(hostile("model/evil", kind | 0o777, b"/etc/passwd"), "link or a device")

    def test_the_same_name_twice(self, refused):
        with pytest.warns(UserWarning, match="Duplicate name"):
            body = hostile(f"{NAME}/am/final.mdl")
        refused(body, "twice")

    def test_a_file_as_a_folder(self, refused):
        refused(hostile(f"{NAME}/am/final.mdl/evil"), "inside of a file")

    def test_too_many_files(self, refused, monkeypatch):
        monkeypatch.setattr(unpack, "MAX_FILES", len(MODEL) - 1)
        refused(zipped(), "over 6 files")

    def test_too_many_bytes(self, refused, monkeypatch):
        monkeypatch.setattr(unpack, "MAX_BYTES", sum(map(len, MODEL.values())) - 1)
        refused(zipped(), "is refused: it has over")

    def test_a_bomb_never_gets_past_its_declared_size(self, refused):
        zeros = 1 << 24
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("am/final.mdl", bytes(zeros))
        refused(packed.getvalue().replace(zeros.to_bytes(4, "little"), (4).to_bytes(4, "little")), "damaged")

    def test_more_than_the_disk_holds(self, refused, monkeypatch):
        monkeypatch.setattr(disk, "RESERVE", 1 << 60)
        refused(zipped(), "MB are needed")

    @pytest.mark.parametrize("kept", [0, 1, 1000, -1, -23])
    def test_truncated(self, refused, kept):
        refused(zipped()[:kept], "damaged or not a zip")

    def test_a_flipped_bit(self, refused):
        body = bytearray(zipped())
        body[2000] ^= 1
        refused(bytes(body), "damaged")

    def test_encrypted(self, refused):
        body = bytearray(zipped())
        entry = body.index(b"PK\1\2")
        body[entry + 8] |= 1
        refused(bytes(body), "is encrypted")

    def test_compressed_in_a_rare_way(self, refused):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("am/final.mdl", b"x")
        refused(packed.getvalue(), "compressed in a way")

    def test_any_changed_byte_is_a_clear_error_or_harmless(self, tmp_path, monkeypatch):
        monkeypatch.setattr(disk.os, "fsync", lambda descriptor: None)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/b", b"hello hello hello")
            archive.writestr("a/c", b"world")
        body = packed.getvalue()
        source = tmp_path / "x.zip"
        for index in range(len(body)):
            for change in (1, 0x80, 0xFF):
                source.write_bytes(body[:index] + bytes([body[index] ^ change]) + body[index + 1 :])
                target = tmp_path / f"out-{index}-{change}"
                try:
                    with disk.in_words(), unpack.members(source) as files:
                        unpack.unpack(files, target, quiet)
                except PackError:
                    pass
        assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"x.zip", "out"}


class TestReplacing:
    def test_the_new_one_takes_the_place_of_the_old(self, store, tmp_path):
        old = store.install(str(folder(tmp_path / NAME)), progress=quiet)
        new = store.install(str(folder(tmp_path / "new", OTHER)), progress=quiet, name=NAME)
        assert content(store) == OTHER
        assert new.path != old.path
        assert not old.path.exists()
        assert own(store) == [new]

    def test_a_failure_leaves_the_old_one(self, store, tmp_path, monkeypatch):
        old = store.install(str(folder(tmp_path / NAME)), progress=quiet)
        source = str(folder(tmp_path / "new", OTHER))

        def refuse(*paths):
            raise OSError(errno.EIO, "Input/output error", "card")

        monkeypatch.setattr(packs.os, "replace", refuse)
        with pytest.raises(PackError, match=r"the disk says: Input/output error \(card\)"):
            store.install(source, progress=quiet, name=NAME)
        assert own(store) == [old]
        assert leftovers(tmp_path) == set()

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_crash_at_any_moment_leaves_the_old_or_the_new_one(self, store, tmp_path):
        """The process ends without a word at each system call in turn that makes something lasting."""
        store.install(str(folder(tmp_path / NAME)), progress=quiet)
        source = str(folder(tmp_path / "new", OTHER))
        seen, crashes = [], 0
        while crash_at(crashes, lambda: store.install(source, progress=quiet, name=NAME)):
            crashes += 1
            assert store.verify(NAME) == []
            assert [pack.name for pack in own(store)] == [NAME]
            seen.append(content(store) == OTHER)
            assert seen[-1] or content(store) == MODEL
            if seen[-1]:
                store.install(str(tmp_path / NAME), progress=quiet)
                assert leftovers(tmp_path) == set()
        assert crashes > len(MODEL)
        assert set(seen) == {False, True}

    def test_leftovers_are_swept_at_the_next_installation(self, store, tmp_path):
        half = folder(tmp_path / "models" / ".packs" / f"{NAME}-0123456789ab", {"am/final.mdl": b"x"})
        (half.parent / f"{half.name}.link").symlink_to(half)
        (half.parent / "file").touch()
        store.install(str(folder(tmp_path / NAME)), progress=quiet)
        assert len(list(half.parent.iterdir())) == 1
        assert content(store) == MODEL

    def test_one_change_at_a_time(self, store, tmp_path):
        store.install(str(folder(tmp_path / NAME)), progress=quiet)
        with (tmp_path / "models" / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(PackError, match="being changed already"):
                store.remove(NAME)
        store.remove(NAME)


def crash_at(count, action):
    """Whether ``action``, in a process of its own, came to its ``count``-th lasting call and died there."""
    pid = os.fork()
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, 9)
        return status == 9
    status = 1
    try:

        def dying(real):
            def call(*args, **options):
                nonlocal count
                if not count:
                    os._exit(9)
                count -= 1
                return real(*args, **options)

            return call

        for name in ("fsync", "replace", "rename", "symlink", "mkdir", "unlink", "rmdir"):
            setattr(os, name, dying(getattr(os, name)))
        action()
        status = 0
    finally:
        os._exit(status)


class TestVerify:
    @pytest.fixture
    def path(self, store, tmp_path):
        return store.install(str(folder(tmp_path / NAME)), progress=quiet).path

    def test_a_truncated_file(self, store, path):
        os.truncate(path / "graph" / "Gr.fst", 10)
        assert store.verify(NAME) == ["graph/Gr.fst has 10 bytes instead of 2500"]
        assert own(store) == []

    def test_a_missing_file(self, store, path):
        (path / "graph" / "Gr.fst").unlink()
        assert store.verify(NAME) == ["graph/Gr.fst is missing"]
        assert own(store) == []

    def test_a_changed_file_of_the_same_size(self, store, path):
        (path / "conf" / "model.conf").write_bytes(b"--beam=99.0\n")
        assert store.verify(NAME) == ["conf/model.conf has changed"]

    def test_a_longer_file(self, store, path):
        with (path / "conf" / "model.conf").open("ab") as file:
            file.write(b"\n")
        assert store.verify(NAME) == ["conf/model.conf has 13 bytes instead of 12"]

    def test_a_file_too_many(self, store, path):
        (path / "rescore").mkdir()
        (path / "rescore" / "G.fst").touch()
        assert store.verify(NAME) == ["rescore/G.fst does not belong to the pack"]

    def test_a_damaged_record(self, store, path):
        os.truncate(path / "appliance-pack.json", 20)
        assert "appliance-pack.json is damaged" in store.verify(NAME)[0]
        assert own(store) == []

    def test_a_missing_folder(self, store, path):
        shutil.rmtree(path)
        assert store.verify(NAME) == [f"its folder {path} is missing"]
        assert own(store) == []
        assert NAME in store.names()

    def test_what_is_not_installed(self, store):
        for ask in (store.verify, store.path, store.remove):
            with pytest.raises(PackError, match=r"\.\./x is not installed"):
                ask("../x")

    def test_repair_by_installing_again(self, store, path, tmp_path):
        shutil.rmtree(path)
        store.install(str(tmp_path / NAME), progress=quiet)
        assert store.verify(NAME) == []


class TestByHand:
    def test_a_copied_folder_counts(self, store, tmp_path):
        root = tmp_path / "models"
        folder(root / "vosk-model-small-cn-0.22")
        folder(root / "vosk-model-small-en-za-1")
        folder(root / "mine")
        folder(root / ".hidden")
        folder(root / "half", {"am/final.mdl": b"x"})
        assert [(pack.name, pack.language, pack.licence) for pack in own(store)] == [
            ("mine", "und", ""),
            ("vosk-model-small-cn-0.22", "zh", "Apache-2.0"),
            ("vosk-model-small-en-za-1", "en", ""),
        ]
        assert store.path("mine") == root / "mine"
        assert store.verify("mine") == []
        assert "not a Vosk model" in store.verify("half")[0]

    def test_it_is_not_replaced_but_can_be_removed(self, store, tmp_path):
        folder(tmp_path / "models" / NAME)
        source = str(folder(tmp_path / NAME))
        with pytest.raises(PackError, match="put there by hand"):
            store.install(source, progress=quiet)
        store.remove(NAME)
        assert own(store) == []
        store.install(source, progress=quiet)
        assert store.verify(NAME) == []

    def test_a_link_to_another_disk(self, store, tmp_path):
        disk = folder(tmp_path / "usb" / "model")
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / NAME).symlink_to(disk)
        assert own(store)[0].path == disk
        store.remove(NAME)
        assert own(store) == []
        assert (disk / "am" / "final.mdl").exists()


class TestEmbedded:
    def test_whisper_is_complete_and_has_its_context(self, store, tmp_path, monkeypatch):
        [found] = [pack for pack in store.installed() if pack.name == "whisper-tiny-en"]
        assert (found.engine, found.language, found.licence) == ("whisper", "en", "MIT")
        assert found.context == Context(shortest_s=0.0, margin_s=1.0)
        assert found.size > 40_000_000
        assert store.install(found.name, progress=quiet) == found
        with pytest.raises(PackError, match="cannot be removed"):
            store.remove(found.name)
        monkeypatch.setattr(packs, "__file__", str(tmp_path / "packs.py"))
        with pytest.raises(PackError, match="install the software again"):
            store.install(found.name, progress=quiet)

    @pytest.mark.parametrize("name", packs.EMBEDDED)
    def test_verify_compares_every_file_with_its_hash(self, store, tmp_path, monkeypatch, name):
        assert store.verify(name) == []
        shutil.copytree(packs.embedded()[name], tmp_path / name)
        monkeypatch.setattr(packs, "__file__", str(tmp_path / "packs.py"))
        recorded = json.loads((tmp_path / name / "appliance-pack.json").read_text())["files"]
        file = max(recorded, key=lambda each: recorded[each][0])
        with (tmp_path / name / file).open("r+b") as weights:
            weights.seek(-1, os.SEEK_END)
            last = weights.read(1)[0]
            weights.seek(-1, os.SEEK_END)
            weights.write(bytes([last ^ 1]))
        assert store.verify(name) == [f"{file} has changed"]

    def test_kiosk_words_when_its_folder_is_there(self, store, tmp_path, monkeypatch):
        monkeypatch.setattr(packs, "__file__", str(tmp_path / "packs.py"))
        assert "kiosk-words" not in store.names()
        folder(tmp_path / "kiosk-words")
        assert store.path("kiosk-words") == tmp_path / "kiosk-words"
        assert [pack.language for pack in store.installed() if pack.name == "kiosk-words"] == ["en"]
        (tmp_path / "kiosk-words" / "am" / "final.mdl").unlink()
        assert store.verify("kiosk-words")
        assert "kiosk-words" not in [pack.name for pack in store.installed()]


def test_remove(store, tmp_path):
    store.install(str(folder(tmp_path / NAME)), progress=quiet)
    store.remove(NAME)
    assert own(store) == []
    assert leftovers(tmp_path) == set()
    with pytest.raises(PackError, match="not installed"):
        store.remove(NAME)


def test_vosk_loads_what_was_installed(store):
    vosk = pytest.importorskip("vosk")
    vosk.SetLogLevel(-2)
    installed = store.install(str(shared("models", "vosk-tiny-en")), progress=quiet)
    assert (installed.name, installed.language) == ("vosk-tiny-en", "en")
    assert store.verify("vosk-tiny-en") == []
    recognizer = vosk.KaldiRecognizer(vosk.Model(str(store.path("vosk-tiny-en"))), 16000)
    recognizer.AcceptWaveform(bytes(32000))
    assert json.loads(recognizer.FinalResult())["text"] == ""


def test_what_an_image_brings_along_is_there_and_stays(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shutil.copytree(packs.embedded()["kiosk-words"], shipped / "vosk-model-small-xx-0.1")
    monkeypatch.setattr("appliance.packs.store.SHIPPED", shipped)
    store = Store(tmp_path / "own")
    assert store.path("vosk-model-small-xx-0.1") == shipped / "vosk-model-small-xx-0.1"
    assert "vosk-model-small-xx-0.1" in {pack.name for pack in store.installed()}
    with pytest.raises(PackError, match="comes with the software"):
        store.remove("vosk-model-small-xx-0.1")
