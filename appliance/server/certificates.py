"""Certificates as values: made, and read. The one place that knows the library, which is imported when it is needed.

What is made passes the strictest verifiers: Python's VERIFY_X509_STRICT, ``openssl verify -x509_strict``, Apple's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

START = datetime(2024, 1, 1, tzinfo=UTC)
"""Nothing made here is valid before this; a clock that shows an earlier time has not been set."""
AUTHORITY_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=397)
"""Apple accepts 398 days of a server's certificate (825 under an authority that a person has added)."""
SLACK = timedelta(days=1)
"""By how much a client's clock may be behind ours."""
COMMON_NAME = 64
"""Characters; the bound of X.520."""
REASONS = {"KEY_VALUES_MISMATCH": "does not belong to the certificate"}
"""What OpenSSL says of a key, in words."""


class CertificateError(Exception):
    """A certificate or key that cannot be made or used; the message names the file and says what is wrong."""


class Certificate(Struct, frozen=True):
    """What one says. ``names``: DNS names and addresses; ``begins``, ``ends``: seconds since 1970."""

    pem: str
    names: frozenset[str]
    begins: float
    ends: float

    @property
    def der(self) -> bytes:
        """Its binary form."""
        return ssl.PEM_cert_to_DER_cert(self.pem)

    @property
    def fingerprint(self) -> str:
        """SHA-256 in pairs of capital hex digits with colons, as browsers and OpenSSL show it."""
        return hashlib.sha256(self.der).digest().hex(":").upper()


def read(pem: bytes) -> Certificate:
    """The first certificate of a PEM file, whatever else is in it. Raises ``ValueError`` when there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    found = x509.load_pem_x509_certificate(pem)
    names: set[str] = set()
    try:
        listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names.update(listed.get_values_for_type(x509.DNSName))
        names.update(str(address) for address in listed.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        pass
    return Certificate(
        pem=found.public_bytes(Encoding.PEM).decode(),
        names=frozenset(names),
        begins=found.not_valid_before_utc.timestamp(),
        ends=found.not_valid_after_utc.timestamp(),
    )


def make_authority(host: str, now: datetime) -> bytes:
    """A new authority for the machine ``host``: its certificate and its key as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    ending = f" {identity.digest.hex()[:8]}"  # two boxes of one name have authorities of two names
    name = _name(f"Speech appliance {host}"[: COMMON_NAME - len(ending)] + ending)
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(max(START, now) + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identity, critical=False)
    )
    return _signed(builder, key, key)


def issue(authority: bytes, names: frozenset[str], now: datetime) -> bytes:
    """A certificate for a server with these names, signed by ``authority`` (as made above), and its key, as PEM.

    Raises ``ValueError`` for an authority that cannot sign.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issuer = x509.load_pem_x509_certificate(authority)
    signer = load_pem_private_key(authority, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("its key is not on an elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    begins = max(START, now - SLACK)
    listed = [_general(name) for name in sorted(names)]
    builder = (
        x509.CertificateBuilder(
            issuer_name=issuer.subject, subject_name=_name("Speech appliance"), public_key=key.public_key()
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(min(begins + SERVER_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(listed), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return _signed(builder, key, signer)


def issued_by(authority: bytes, pem: bytes) -> bool:
    """Whether the first certificate of one PEM file has signed the first of the other."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        x509.load_pem_x509_certificate(pem).verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def fill(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Give the context this chain and key. Raises ``ValueError`` with what is wrong with the key, and ``OSError``."""
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise ValueError(REASONS.get(error.reason, "is not a key in PEM")) from error


def fits(certificate: Path, key: Path) -> None:
    """``fill`` without a context that could be spoiled."""
    fill(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)


def _no_password() -> str:
    raise ValueError("is encrypted, and there is nobody to type a password")


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey) -> bytes:
    """The certificate, then its key: one file for both, so that they are replaced together."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return builder.sign(by, SHA256()).public_bytes(Encoding.PEM) + secret


def _name(common: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*allowed: str) -> x509.KeyUsage:
    from cryptography import x509

    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{use: use in allowed for use in every})
