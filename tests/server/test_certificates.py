import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from appliance.server.certificates import AUTHORITY_LIFE, SERVER_LIFE, START, issue, issued_by, make_authority, read

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AUTHORITY = make_authority("box", NOW)
NAMES = frozenset({"box.local", "10.0.0.7", "fd00::7"})

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=2, max_size=4).map(".".join).filter(lambda name: name[-1].isalpha())
addresses = st.ip_addresses().map(str)


def extension(pem, kind):
    found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(kind)
    return found.value, found.critical


@given(names=st.frozensets(hosts | addresses, min_size=1, max_size=8))
def test_a_certificate_says_the_names_it_was_issued_for(names):
    assert read(issue(AUTHORITY, names, NOW)).names == names


def test_the_authority_may_sign_servers_and_nothing_else():
    constraints, critical = extension(AUTHORITY, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length, critical) == (True, 0, True)
    usage, critical = extension(AUTHORITY, x509.KeyUsage)
    assert critical
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    found = read(AUTHORITY)
    assert found.begins == START.timestamp()
    assert found.ends == (NOW + AUTHORITY_LIFE).timestamp()


def test_a_server_s_certificate_has_what_strict_clients_ask_for():
    leaf = issue(AUTHORITY, NAMES, NOW)
    constraints, critical = extension(leaf, x509.BasicConstraints)
    assert (constraints.ca, critical) == (False, True)
    assert list(extension(leaf, x509.ExtendedKeyUsage)[0]) == [x509.OID_SERVER_AUTH]
    identity, _ = extension(AUTHORITY, x509.SubjectKeyIdentifier)
    assert extension(leaf, x509.AuthorityKeyIdentifier)[0].key_identifier == identity.digest
    found = read(leaf)
    assert found.begins == (NOW - timedelta(days=1)).timestamp()
    assert found.ends - found.begins == SERVER_LIFE.total_seconds() == 397 * 86_400


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), START),
        (START, START),
        (START + timedelta(days=3), START + timedelta(days=2)),
    ],
)
def test_nothing_begins_before_2024(now, begins):
    authority = make_authority("box", now)
    assert read(authority).ends >= (START + AUTHORITY_LIFE).timestamp()
    assert read(issue(authority, NAMES, now)).begins == begins.timestamp()


def test_a_server_s_certificate_ends_with_its_authority():
    late = NOW + AUTHORITY_LIFE - timedelta(days=5)
    assert read(issue(AUTHORITY, NAMES, late)).ends == read(AUTHORITY).ends


@pytest.mark.parametrize("host", ["", "box", "x" * 64, "büro"])
def test_authorities_of_boxes_with_one_name_differ_in_name(host):
    one, other = (x509.load_pem_x509_certificate(make_authority(host, NOW)).subject for _ in range(2))
    assert one != other
    assert one.rfc4514_string().startswith(f"CN=Speech appliance {host[:30]}")


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_openssl_agrees(tmp_path):
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    now = datetime.now(UTC)
    authority = make_authority("box", now)
    ca.write_text(read(authority).pem)
    leaf.write_bytes(issue(authority, NAMES, now))
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "box.local",
        "-CAfile",
        ca,
    ]
    done = subprocess.run([*command, leaf], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{leaf}: OK\n"), done.stderr
    command = ["openssl", "x509", "-in", ca, "-noout", "-sha256", "-fingerprint"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().rpartition("=")[2] == read(authority).fingerprint


def test_signatures_are_told_apart():
    leaf = issue(AUTHORITY, NAMES, NOW)
    assert issued_by(AUTHORITY, leaf)
    assert not issued_by(make_authority("box", NOW), leaf)
    assert not issued_by(leaf, leaf)


def test_the_binary_form_is_that_of_the_text():
    found = read(AUTHORITY)
    assert ssl.DER_cert_to_PEM_cert(found.der).split() == found.pem.split()
    assert len(found.fingerprint) == 32 * 3 - 1


@pytest.mark.parametrize("pem", [b"", b"hello", AUTHORITY[:100], AUTHORITY[AUTHORITY.index(b"-----BEGIN PRIVATE") :]])
def test_what_is_no_certificate_is_refused(pem):
    with pytest.raises(ValueError, match=r"."):
        read(pem)


def test_an_authority_with_another_kind_of_key_is_refused():
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="elliptic curve"):
        issue(read(AUTHORITY).pem.encode() + key, NAMES, NOW)
