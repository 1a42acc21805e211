import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import pytest

from appliance.server.authority import Authority
from appliance.server.certificates import CertificateError, read
from tests.server.handshake import Pair, serving, trusting

DAY = 86_400
NAMES = frozenset({"localhost", "127.0.0.1", "::1", "box.local"})


class Clock:
    """Shows the true time, or ``at``."""

    def __init__(self, at=None):
        self.at = at

    def __call__(self):
        return time.time() if self.at is None else self.at


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "tls"


def authority(folder, names=NAMES, now=time.time):
    return Authority(folder, lambda: names, now)


def renewed(folder, names=NAMES, now=time.time):
    made = authority(folder, names, now)
    made.renew()
    return made


def leaf(folder):
    return read((folder / "server.pem").read_bytes())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_clients_that_trust_the_authority_shake_hands(folder, name):
    made = renewed(folder)
    pair = Pair(serving(made.files[0]), trusting(made.certificate), name)
    assert pair.says(b"hello") == b"hello"
    assert pair.client.version() == "TLSv1.3"


def test_clients_refuse_other_names_and_other_authorities(folder, tmp_path):
    made = renewed(folder)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        Pair(serving(made.files[0]), trusting(made.certificate), "other.local")
    other = renewed(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        Pair(serving(made.files[0]), trusting(other.certificate), "localhost")


def test_keys_are_for_the_service_alone(folder):
    renewed(folder)
    modes = {path.name: S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"tls": 0o700, "ca.key": 0o600, "server.pem": 0o600, "ca.pem": 0o644}
    assert "PRIVATE" not in (folder / "ca.pem").read_text()


def test_a_folder_that_others_may_read_is_closed(folder):
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    authority(folder).open()
    assert S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_belongs_to_the_service(folder):
    folder.parent.mkdir()
    os.chown(folder.parent, 4711, 4712)
    renewed(folder)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (folder, *folder.iterdir())} == {(4711, 4712)}


def test_it_is_made_once(folder):
    first = renewed(folder)
    files = {path: path.read_bytes() for path in folder.iterdir()}
    second = renewed(folder)
    assert second.ca == first.ca == authority(folder).open()
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_it_is_made_without_a_server_s_certificate(folder):
    made = authority(folder).open()
    assert made.pem == (folder / "ca.pem").read_text()
    assert not (folder / "server.pem").exists()


def test_several_that_begin_at_once_agree(folder):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: authority(folder).open().fingerprint, range(8)))
    assert len(set(made)) == 1


def test_what_a_power_cut_left_does_no_harm(folder):
    folder.mkdir(parents=True)
    for name in ("ca.key.new", "ca.pem.new", "server.pem.new"):
        (folder / name).write_bytes(b"half")
    made = renewed(folder)
    assert {path.name for path in folder.iterdir()} == {"ca.key", "ca.pem", "server.pem"}
    Pair(serving(made.files[0]), trusting(made.certificate), "localhost")


@pytest.mark.parametrize(
    ("days", "due"), [(0, False), (-0.9, False), (-1.1, True), (365.9, False), (366.1, True), (396.1, True)]
)
def test_it_is_due_a_month_before_the_end_and_whenever_it_is_not_valid(folder, days, due):
    clock = Clock(time.time())
    made = renewed(folder, now=clock)
    before, ca = leaf(folder), made.ca
    clock.at += days * DAY
    assert made.due() is due
    made.renew()
    assert (leaf(folder) != before) is due
    assert leaf(folder).begins <= clock.at < leaf(folder).ends - 30 * DAY
    assert made.ca == ca
    assert not made.due()


@pytest.mark.parametrize(
    ("now", "due"),
    [(NAMES | {"10.0.0.9"}, True), (NAMES | {"new.local"}, True), (NAMES, False), (NAMES - {"box.local"}, False)],
)
def test_it_is_due_when_the_machine_has_a_name_or_address_that_it_does_not_cover(folder, now, due):
    names = [NAMES]
    made = Authority(folder, lambda: names[0])
    made.renew()
    names[0] = now
    assert made.due() is due
    made.renew()
    assert leaf(folder).names == (now if due else NAMES)
    assert not made.due()


SECRET = b"-----BEGIN PRIVATE"
DAMAGE = {
    "empty": lambda own, other: b"",
    "cut in the certificate": lambda own, other: own[:200],
    "cut in the key": lambda own, other: own[: own.index(SECRET) + 90],
    "without its key": lambda own, other: own[: own.index(SECRET)],
    "another's key": lambda own, other: own[: own.index(SECRET)] + other[other.index(SECRET) :],
    "noise": lambda own, other: bytes(range(256)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_authority_is_an_error_and_is_not_replaced(folder, tmp_path, damage):
    renewed(folder)
    renewed(tmp_path / "other")
    key = folder / "ca.key"
    key.write_bytes(DAMAGE[damage](key.read_bytes(), (tmp_path / "other" / "ca.key").read_bytes()))
    files = {path: path.read_bytes() for path in folder.iterdir()}
    for act in (authority(folder).open, authority(folder).renew):
        with pytest.raises(CertificateError) as error:
            act()
        assert str(error.value).startswith(f"{key}: is damaged; restore it")
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_an_authority_whose_key_is_gone_is_an_error(folder):
    authority(folder).open()
    (folder / "ca.key").unlink()
    with pytest.raises(CertificateError, match=r"ca\.key: is missing; restore it"):
        authority(folder).renew()
    assert [path.name for path in folder.iterdir()] == ["ca.pem"]


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "server.pem"])
def test_something_else_in_the_place_of_a_file_is_named(folder, name):
    if name == "ca.key":
        folder.mkdir(parents=True)
    else:
        authority(folder).open()
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    with pytest.raises(CertificateError, match=name.replace(".", r"\.")):
        authority(folder).renew()


@pytest.mark.parametrize("damage", [*DAMAGE, "absent", "another authority's"])
def test_a_damaged_server_s_certificate_is_made_anew(folder, tmp_path, damage):
    ca = renewed(folder).ca
    other = renewed(tmp_path / "other").files[0].read_bytes()
    file = folder / "server.pem"
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes(other if damage == "another authority's" else DAMAGE[damage](file.read_bytes(), other))
    made = renewed(folder)
    assert made.ca == ca
    Pair(serving(made.files[0]), trusting(made.certificate), "localhost")


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_the_copy_to_hand_out_is_written_anew(folder, content):
    ca = authority(folder).open()
    if content is None:
        (folder / "ca.pem").unlink()
    else:
        (folder / "ca.pem").write_bytes(content)
    assert authority(folder).open() == ca
    assert (folder / "ca.pem").read_text() == ca.pem


def test_where_nothing_can_be_written_that_is_said(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(CertificateError, match=r"state.*: Not a directory"):
        authority(tmp_path / "state" / "tls").renew()


def test_a_full_disk_is_said_and_leaves_what_there_was(folder, monkeypatch):
    clock = Clock(time.time())
    made = renewed(folder, now=clock)
    before = made.files[0].read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    clock.at += 370 * DAY
    with pytest.raises(CertificateError, match="No space left on device"):
        made.renew()
    assert made.files[0].read_bytes() == before
    assert made.due()


def test_a_state_that_cannot_be_written_serves_as_long_as_it_is_whole(folder, monkeypatch):
    renewed(folder)

    def refused(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Authority, "_write", refused)
    assert not renewed(folder).due()


@pytest.mark.parametrize("at", [0, 1_000_000_000])
def test_a_clock_that_was_never_set_makes_what_clients_with_a_right_clock_accept(folder, at):
    """The client of the handshake goes by the true time."""
    clock = Clock(at)
    made = renewed(folder, now=clock)
    Pair(serving(made.files[0]), trusting(made.certificate), "localhost")
    assert not made.due(), "it would be made anew for ever"
    ca, clock.at = made.ca, None
    assert not made.due()
    made.renew()
    assert made.ca == ca


def test_a_clock_that_was_far_ahead_is_forgiven(folder):
    clock = Clock(time.time() + 3 * 365 * DAY)
    made = renewed(folder, now=clock)
    ca, clock.at = made.ca, None
    assert made.due()
    made.renew()
    assert made.ca == ca
    Pair(serving(made.files[0]), trusting(made.certificate), "localhost")


def test_the_last_certificate_ends_with_the_authority_and_then_that_is_said(folder):
    clock = Clock(time.time())
    made = renewed(folder, now=clock)
    assert made.ca
    clock.at = made.ca.ends - 5 * DAY
    made.renew()
    assert leaf(folder).ends == made.ca.ends
    assert not made.due(), "it would be made anew for ever"
    clock.at = made.ca.ends
    assert made.due()
    with pytest.raises(CertificateError, match=r"ca\.key: the authority has expired; restore"):
        made.renew()


def test_by_default_it_is_for_this_machine(folder):
    made = Authority(folder)
    made.renew()
    assert {"localhost", "127.0.0.1", "::1"} <= leaf(folder).names
    assert isinstance(made.certificate, Path)
