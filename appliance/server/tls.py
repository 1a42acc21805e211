"""The TLS side of the listener: one context, whose certificate is replaced while connections live on."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from appliance.server.certificates import Certificate, CertificateError, fill, fits, read

log = logging.getLogger(__name__)

CHECK_S = 60.0
"""Between two looks; an address from DHCP or a clock that was set counts that soon. Each reads two files of /proc."""


class Source(Protocol):
    """Where the certificate comes from: the box's ``Authority``, or ``Own`` files."""

    files: tuple[Path, Path]
    """The certificate's and the key's."""
    ca: Certificate | None
    """The authority that people may trust."""

    def due(self) -> bool:
        """Whether ``renew`` has something to do. Cheap."""

    def renew(self) -> None:
        """Have ``files`` that serve, or raise ``CertificateError``. Reads and writes files."""


class Own:
    """A certificate that somebody else renews; its files are taken anew when they change."""

    ca: Certificate | None = None

    def __init__(self, certificate: Path, key: Path, now: Callable[[], float] = time.time) -> None:
        self.files = certificate, key
        self._now = now
        self._seen: list[tuple[int, int, int]] | None = None

    def due(self) -> bool:
        return self._seen is None or self._stamps() != self._seen

    def renew(self) -> None:
        stamps = self._stamps()
        certificate, key = self.files
        try:
            found = read(certificate.read_bytes())
        except OSError as error:
            raise CertificateError(f"tls.certificate: {certificate}: {error.strerror}") from error
        except ValueError as error:
            raise CertificateError(f"tls.certificate: {certificate}: is not a certificate in PEM") from error
        try:
            key.read_bytes()
            fits(certificate, key)
        except OSError as error:
            raise CertificateError(f"tls.key: {key}: {error.strerror}") from error
        except ValueError as error:
            raise CertificateError(f"tls.key: {key}: {error}") from error
        if found.ends <= self._now():
            day = datetime.fromtimestamp(found.ends, UTC).date()
            raise CertificateError(f"tls.certificate: {certificate}: expired on {day}")
        self._seen = stamps

    def _stamps(self) -> list[tuple[int, int, int]]:
        try:
            return [(now.st_ino, now.st_size, now.st_mtime_ns) for now in (path.stat() for path in self.files)]
        except OSError:  # ``renew`` says which
            return []


class Tls:
    """``context`` always holds a certificate that serves, as far as ``source`` can give one.

    Made, it has been filled: that reads and writes files, takes a moment, and raises ``CertificateError``.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._told = ""
        self.ends = 0.0
        """When the certificate in use does, in seconds since 1970."""
        self.names: frozenset[str] = frozenset()
        """DNS names and addresses of the certificate in use."""
        source.renew()
        self._fill()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(CHECK_S)
            await self.check()

    async def check(self) -> None:
        """Take a new certificate when one is due. When none can be had the old one stays; that is logged once."""
        try:
            if self.source.due():
                await asyncio.to_thread(self.source.renew)
                self._fill()
                log.info("new connections get the certificate that is now in %s", self.source.files[0])
            self._told = ""
        except CertificateError as error:
            if str(error) != self._told:
                log.error("the certificate cannot be replaced: %s", error)
            self._told = str(error)

    def _fill(self) -> None:
        try:
            fill(self.context, *self.source.files)
            found = read(self.source.files[0].read_bytes())
            self.ends, self.names = found.ends, frozenset(name.lower() for name in found.names)
        except (OSError, ValueError) as error:  # changed since it was looked at
            raise CertificateError(f"{self.source.files[1]}: {error}") from error
