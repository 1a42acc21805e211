"""What is read of a bundle, and what is refused: what is not signed is not looked at, nothing unusual is written."""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.update import archive, signature, unpack
from appliance.update.archive import Hashed, Part, Unpacked
from appliance.update.bundle import opened
from appliance.update.manifest import MANIFEST_BYTES, NotTaken
from appliance.update.signature import signer as who
from tests.update.box import CHECKOUT, Box, Member, Signer, bundle, members, packed, program

NEW = program("2.0", 2_000)


def read(box: Box, data: bytes) -> str:
    """The version in it."""
    return opened(io.BytesIO(data), partial(who, signers=box.places.signers)).manifest.version


def test_a_good_one(box: Box) -> None:
    source = io.BytesIO(bundle(box.signer, NEW))
    found = opened(source, partial(who, signers=box.places.signers))
    assert (found.manifest.version, found.manifest.built, found.signer) == ("2.0", 2_000, "release")
    assert found.payload.left == found.manifest.size == len(found.payload.rest())


# who has signed it


def test_others_signatures_do_not_count(box: Box, tmp_path: Path) -> None:
    other = Signer(tmp_path, "stranger")
    with pytest.raises(NotTaken, match="not signed by anybody whom this box trusts"):
        read(box, bundle(other, NEW))
    box.places.signers.write_text(f"# both\n\n{other.line()}{box.signer.line()}")
    assert read(box, bundle(other, NEW)) == "2.0"


@pytest.mark.parametrize(
    ("namespace", "options"),
    [("file", 'namespaces="appliance-update"'), ("file", ""), ("appliance-update", 'namespaces="file"'),
     ("appliance-update", 'valid-before="20000101"')],
)  # fmt: skip
def test_a_signature_for_something_else_does_not_count(box: Box, namespace: str, options: str) -> None:
    box.places.signers.write_text(box.signer.line(options).replace("  ", " "))
    with pytest.raises(NotTaken, match="not signed by anybody"):
        read(box, bundle(box.signer, NEW, namespace=namespace))


def test_a_line_without_options_is_enough(box: Box) -> None:
    box.places.signers.write_text(box.signer.line("").replace("  ", " "))
    assert read(box, bundle(box.signer, NEW)) == "2.0"


@pytest.mark.parametrize("text", [None, "", "\n", "# release namespaces=...\n  # nobody\n"])
def test_a_box_that_knows_no_signer_says_how_it_learns_of_one(box: Box, text: str | None) -> None:
    box.places.signers.unlink()
    if text is not None:
        box.places.signers.write_text(text)
    with pytest.raises(NotTaken, match=r"knows no signer: put a line like .* into .*update-signers"):
        read(box, bundle(box.signer, NEW))


def test_signers_that_cannot_be_understood_are_nobody(box: Box) -> None:
    box.places.signers.write_text("release ssh-ed25519 nonsense\n")
    with pytest.raises(NotTaken, match="not signed by anybody"):
        read(box, bundle(box.signer, NEW))


@pytest.mark.parametrize("words", ["package openssh-client", "does not answer"])
def test_without_the_tool_nothing_is_accepted(box: Box, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    data = bundle(box.signer, NEW)
    if "answer" in words:

        def late(*arguments: Any, **options: Any) -> None:
            raise subprocess.TimeoutExpired("ssh-keygen", 1)

        monkeypatch.setattr(subprocess, "run", late)
    else:
        monkeypatch.setattr(signature, "TOOL", "no-such-tool")
    with pytest.raises(NotTaken, match=words):
        read(box, data)


def test_a_manifest_changed_after_it_was_signed(box: Box) -> None:
    data = bundle(box.signer, NEW)
    assert data.count(b'"2.0"') == 1
    with pytest.raises(NotTaken, match="not signed by anybody"):
        read(box, data.replace(b'"2.0"', b'"2.1"'))


# its shape


def pieces(signer: Signer) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(bundle(signer, NEW))) as whole:
        return [(each.name, whole.extractfile(each).read(), {}) for each in whole]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda parts: [], "does not have manifest.json in its place"),
        (lambda parts: parts[1:], "does not have manifest.json in its place"),
        (lambda parts: [parts[1], parts[0], parts[2]], "does not have manifest.json in its place"),
        (lambda parts: [parts[0], parts[2]], "does not have manifest.json.sig in its place"),
        (lambda parts: parts[:2], "what comes after its manifest"),
        (lambda parts: [*parts[:2], ("payload.tar.gz", parts[2][1], {})], "what comes after its manifest"),
        (lambda parts: [*parts[:2], ("payload.tar.xz", parts[2][1] + b"x", {})], "what comes after its manifest"),
        (lambda parts: [("manifest.json", None, {}), *parts[1:]], "does not have manifest.json in its place"),
        (lambda parts: [("manifest.json", bytes(MANIFEST_BYTES + 1), {}), *parts[1:]], "does not have manifest.json"),
        (
            lambda parts: [("manifest.json", "", {"type": tarfile.SYMTYPE, "linkname": "/etc/shadow"}), *parts[1:]],
            "does not have manifest.json",
        ),
    ],
)
def test_only_what_belongs_into_it_and_in_this_order(
    box: Box, change: Callable[[list[Member]], list[Member]], words: str
) -> None:
    with pytest.raises(NotTaken, match=words):
        read(box, packed(change(pieces(box.signer))))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 600, 1_500])
def test_a_file_that_is_cut_off(box: Box, size: int) -> None:
    with pytest.raises(NotTaken, match="not complete"):
        read(box, bundle(box.signer, NEW)[:size])


@pytest.mark.parametrize("data", [b"\x7fELF" * 300, os.urandom(2_048), b"PK\x03\x04" + bytes(2_000)])
def test_any_other_file(box: Box, data: bytes) -> None:
    with pytest.raises(NotTaken, match="no update"):
        read(box, data)


# what is in the payload


LINK = {"type": tarfile.SYMTYPE}
REFUSED: dict[str, tuple[list[Member], str]] = {
    "absolute": ([("/etc/passwd", b"x", {})], "leaves its folder"),
    "up": ([("../x", b"x", {})], "leaves its folder"),
    "up inside": ([("a", None, {}), ("a/../../x", b"x", {})], "leaves its folder"),
    "dot inside": ([("a", None, {}), ("a/./x", b"x", {})], "leaves its folder"),
    "the top is a file": ([(".", b"x", {})], "leaves its folder"),
    "no such folder": ([("a/x", b"x", {})], "in no folder of the archive"),
    "twice": ([("x", b"x", {}), ("x", b"y", {})], "in it twice"),
    "folder twice": ([("a", None, {}), ("a", None, {})], "in it twice"),
    "folder over file": ([("a", b"x", {}), ("a", None, {})], "in it twice"),
    "hard link": ([("x", b"x", {}), ("y", "", {"type": tarfile.LNKTYPE, "linkname": "x"})], "neither file nor"),
    "device": ([("x", "", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})], "neither file nor"),
    "block device": ([("x", "", {"type": tarfile.BLKTYPE})], "neither file nor"),
    "pipe": ([("x", "", {"type": tarfile.FIFOTYPE})], "neither file nor"),
    "pax header": ([("x", "30 path=other\n", {"type": tarfile.XHDTYPE})], "neither file nor"),
    "long name": ([("x", "y" * 300, {"type": tarfile.GNUTYPE_LONGNAME})], "neither file nor"),
    "sparse": ([("x", b"", {"type": tarfile.GNUTYPE_SPARSE})], "neither file nor"),
    "set-user-id": ([("x", b"x", {"mode": 0o4755})], "rights of its own"),
    "set-group-id": ([("x", None, {"mode": 0o2755})], "rights of its own"),
    "sticky": ([("x", None, {"mode": 0o1777})], "rights of its own"),
    "control characters": ([("a\033[2Jb", b"x", {})], "a sign that is no letter"),
    "link to anywhere": ([("x", "", {**LINK, "linkname": "/etc"})], "leads out"),
    "link up": ([("x", "", {**LINK, "linkname": "../y"})], "leads out"),
    "link to nothing": ([("x", "", {**LINK, "linkname": ""})], "leads out"),
    "link up after down": ([("a", None, {}), ("a/x", "", {**LINK, "linkname": "b/../../y"})], "leads out"),
    "through a link": (
        [("a", None, {}), ("l", "", {**LINK, "linkname": "a"}), ("l/x", b"x", {})],
        "in no folder of the archive",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_archive_may_not_hold(tmp_path: Path, name: str) -> None:
    inside, words = REFUSED[name]
    with pytest.raises(NotTaken, match=words):
        unpack.unpack(io.BytesIO(packed(inside)), tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_what_it_may_hold(tmp_path: Path) -> None:
    long = "/".join(["a" * 60] * 3)
    inside: list[Member] = [
        ("./", None, {"mode": 0o700}),
        ("./a", None, {"mode": 0o700}),
        ("./a/run", b"#!", {"mode": 0o700, "uid": 1234}),
        ("./a/read", b"x", {"mode": 0o600}),
        ("./a/up", "", {**LINK, "linkname": "../b"}),
        ("./b", "", {**LINK, "linkname": "a/read"}),
        ("./ä", b"", {}),
        *((f"./{long[:end]}", None, {}) for end in (60, 121, 182)),
        (f"./{long}/x", b"deep", {}),
    ]
    unpack.unpack(io.BytesIO(packed(inside)), tmp_path / "tree")
    tree = tmp_path / "tree"
    modes = {name: (tree / name).stat().st_mode & 0o7777 for name in (".", "a", "a/run", "a/read")}
    assert modes == {".": 0o755, "a": 0o755, "a/run": 0o755, "a/read": 0o644}
    assert (tree / "a" / "run").stat().st_uid == os.geteuid()
    assert ((tree / "a" / "up").read_bytes(), (tree / long / "x").read_bytes()) == (b"x", b"deep")


def test_a_size_that_is_negative() -> None:
    header = tarfile.TarInfo("x")
    header.size = -512
    with pytest.raises(NotTaken, match="negative"):
        list(archive.members(io.BytesIO(header.tobuf(tarfile.GNU_FORMAT))))


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST", 3)
    unpack.unpack(io.BytesIO(packed([(name, b"", {}) for name in "abc"])), tmp_path / "few")
    with pytest.raises(NotTaken, match="one too many"):
        unpack.unpack(io.BytesIO(packed([(name, b"", {}) for name in "abcd"])), tmp_path / "many")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lzma.compress(bytes(1_000))[:-20], "cut off"),
        (b"no xz at all", "damaged"),
        (lzma.compress(bytes(1_001)), "more in it than its manifest says"),
        (lzma.compress(bytes(1 << 24)), "more in it than its manifest says"),
        (
            lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]),
            "damaged: Memory usage limit",
        ),
    ],
)
def test_a_payload_that_cannot_be_unpacked(data: bytes, words: str) -> None:
    source = Unpacked(io.BytesIO(data), 1_000)
    with pytest.raises(NotTaken, match=words):
        while source.read(100):
            pass


def test_a_source_is_hashed_and_ends_where_it_should() -> None:
    source = Hashed(io.BytesIO(b"abcdef"))
    assert Part(source, 4).rest() == b"abcd"
    assert source.sha256 == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    with pytest.raises(NotTaken, match="not complete"):
        Part(source, 3).rest()


# how one is made


def test_the_recipe_makes_one_that_is_taken_and_the_same_again(box: Box, tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree = root / "usr" / "lib" / "appliance"
    for name, content in {**NEW, "appliance/__pycache__/x.pyc": b"for one Python"}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    made = []
    for name in ("one", "two"):
        out = tmp_path / f"{name}.appliance-update"
        os.utime(tree / "library.so", (len(made), len(made)))
        subprocess.run([CHECKOUT / "image" / "bundle", root, out, "--key", box.signer.key], check=True)
        made.append(out.read_bytes())
    assert made[0] == made[1]
    found = opened(io.BytesIO(made[0]), partial(who, signers=box.places.signers))
    assert (found.manifest.version, found.manifest.built) == ("2.0", 2_000)
    payload = Hashed(found.payload)
    unpack.unpack(Unpacked(payload, found.manifest.unpacked), tmp_path / "tree")
    assert payload.sha256 == found.manifest.sha256
    unpacked = {str(path.relative_to(tmp_path / "tree")): path.read_bytes() for path in (tmp_path / "tree").rglob("*.*")
                if path.is_file()}  # fmt: skip
    assert unpacked == NEW
    assert sorted(path.name for path in tmp_path.glob("one*")) == ["one.appliance-update"]


def test_what_the_test_makes_is_like_it() -> None:
    """So that a refusal is not one of the tests' own way to pack."""
    assert [name for name, _, _ in members(NEW)][:3] == [".", "appliance", "appliance/parts"]
