"""The box's own certificate authority and the server's certificate that it signs, as files that outlive power cuts.

    ca.key      the authority: its certificate and its key (0600)
    ca.pem      its certificate alone, to be handed out (0644); a copy, written anew when it is lost
    server.pem  the server's certificate and key (0600); made anew whenever it no longer serves

The authority is made once, for ten years, and stays: devices trust it. A damaged one is an error, never replaced.

The clock may be wrong at the first start, because a board without a battery begins in 1970. So the authority is valid
from 2024 on, whatever the clock says, and a clock before that, which has not been set, counts as the time at which this
software was installed. The server's certificate begins a day before now, and is made anew when now is outside of it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.server import machine
from appliance.server.certificates import (
    START,
    Certificate,
    CertificateError,
    fits,
    issue,
    issued_by,
    make_authority,
    read,
)

MARGIN_S = timedelta(days=30).total_seconds()
"""Before its end the server's certificate is replaced."""
ADVICE = "restore it from a copy; or remove the folder, and every device has to trust a new authority"


class Authority:
    """What is in ``folder``. ``names``: what clients call this machine now; ``now``: seconds since 1970.

    ``open`` and ``renew`` read and write files, and raise ``CertificateError``, and only that.
    """

    def __init__(
        self,
        folder: Path,
        names: Callable[[], frozenset[str]] = machine.names,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.certificate = folder / "ca.pem"
        self.files = folder / "server.pem", folder / "server.pem"
        self.ca: Certificate | None = None
        self._folder = folder
        self._key = folder / "ca.key"
        self._names = names
        self._clock = now
        self._server: Certificate | None = None

    def open(self) -> Certificate:
        """The authority's certificate, made when there is none yet."""
        with self._alone():
            self.ca = read(self._authority())
            return self.ca

    def due(self) -> bool:
        """Whether the server's certificate, as last seen, no longer serves. Cheap."""
        if self.ca is None or self._server is None:
            return True
        now, server = self._now(), self._server
        margin = MARGIN_S if server.ends < self.ca.ends else 0  # the last one of all cannot be replaced
        return not server.begins <= now < server.ends - margin or not self._names() <= server.names

    def renew(self) -> None:
        """Have a server's certificate that serves."""
        with self._alone():
            authority = self._authority()
            self.ca = read(authority)
            self._server = self._readable(authority)
            if self.due():
                now = self._now()
                if now >= self.ca.ends:
                    raise CertificateError(f"{self._key}: the authority has expired; {ADVICE}")
                try:
                    pem = issue(authority, self._names(), datetime.fromtimestamp(now, UTC))
                except ValueError as error:
                    raise CertificateError(f"{self._key}: {error}; {ADVICE}") from error
                self._write(self.files[0], pem, 0o600)
                self._server = read(pem)

    def _authority(self) -> bytes:
        """``ca.key``, made when there is none yet; beside it is ``ca.pem``."""
        if not self._key.exists():
            if self.certificate.exists():
                raise CertificateError(f"{self._key}: is missing; {ADVICE}")
            made = make_authority(socket.gethostname(), datetime.fromtimestamp(self._now(), UTC))
            self._write(self._key, made, 0o600)
        pem = self._key.read_bytes()
        try:
            certificate = read(pem).pem.encode()
            fits(self._key, self._key)
        except ValueError as error:
            raise CertificateError(f"{self._key}: is damaged; {ADVICE}") from error
        if not self.certificate.exists() or self.certificate.read_bytes() != certificate:
            self._write(self.certificate, certificate, 0o644)
        return pem

    def _readable(self, authority: bytes) -> Certificate | None:
        """The server's certificate that is there; None when it is absent, damaged or another authority's."""
        try:
            pem = self.files[0].read_bytes()
            fits(*self.files)
            return read(pem) if issued_by(authority, pem) else None
        except (FileNotFoundError, ValueError):
            return None

    def _now(self) -> float:
        now = self._clock()
        if now < START.timestamp():
            return max(START.timestamp(), Path(__file__).stat().st_mtime)
        return now

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Makes the folder, lets no other process change it, and says in words what the disk does not like."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _adopt(folder, self._folder.parent)
                if os.fstat(folder).st_mode & 0o077:
                    os.fchmod(folder, 0o700)
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)
        except OSError as error:
            raise CertificateError(f"{error.filename or self._folder}: {error.strerror or error}") from error

    def _write(self, target: Path, content: bytes, mode: int) -> None:
        """A power cut leaves the old file or the new one."""
        new = target.with_name(f"{target.name}.new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            _adopt(file.fileno(), self._folder)
            os.fsync(file.fileno())
        os.replace(new, target)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _adopt(descriptor: int, parent: Path) -> None:
    """What root makes here belongs to whom the folder around it belongs to: the service has to read it."""
    owner = parent.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
