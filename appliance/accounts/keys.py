"""API keys: made and changed by ``appliance keys``, looked up by the daemon, stored as hashes only.

Hashes are fast ones on purpose: keys are random, so there is no word list to try.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from appliance.accounts.disk import Signature, alone, make_private, replace, signature
from appliance.core.problems import Kind

log = logging.getLogger(__name__)

FILE = "keys.json"
PREFIX = "sak_"
"""Of the keys made here, so that people and secret scanners recognise them."""
RANDOM = 24
"""Bytes of a key: 192 bits, 32 url-safe characters."""
GENERATED = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{32}")
"""Form of the keys made here. A guess at 192 random bits never succeeds, at whatever speed."""
OWN_MIN, OWN_MAX = 16, 512
"""Characters of a key of one's own: not to be guessed at the speed attempts are slowed to; and a header holds it."""
NAME_MAX = 64

Positive = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds, at most those of 3,000 years: what a calendar can show."""


class KeysError(Exception):
    """Something about keys that failed; the message is a sentence a person can act on."""


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key. Times in unix seconds; ``None`` is no limit.

    What is as by default is not written, so that a program from before a field was added reads the file of one from
    after it: an update may be taken back.
    """

    id: Annotated[str, Meta(pattern=r"^k_[0-9a-f]{6}$")]
    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
    digest: bytes
    created: float
    expires: Amount | None = None
    streams: Positive | None = None
    """Open at a time."""
    seconds: Amount | None = None
    """Of audio, in all."""
    streaming: bool = True
    terms: bool = True
    admin: bool = False
    """It may send the box an update."""
    microphones: bool = False
    """It may listen to the device's microphones. A key file from before this field grants the right to no key."""

    def expired(self, now: float) -> bool:
        """Its time is over."""
        return self.expires is not None and now >= self.expires

    def used_up(self, used: float) -> bool:
        """Nothing is left of its seconds."""
        return self.seconds is not None and used >= self.seconds

    def trouble(self, used: float, now: float, *, streaming: bool = True) -> Kind | None:
        """Why it may not be used, for a stream or else a file: the first reason in the order clients are told them."""
        reasons = {
            Kind.BAD_KEY: self.expired(now),
            Kind.TERMS_NOT_ACCEPTED: not self.terms,
            Kind.NOT_ALLOWED: streaming and not self.streaming,
            Kind.QUOTA_EXCEEDED: self.used_up(used),
        }
        return next((kind for kind, holds in reasons.items() if holds), None)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    secret: bytes
    keys: tuple[Key, ...]

    def digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=self.secret, digest_size=32).digest()

    def find(self, text: str) -> Key | None:
        """Compares with every key in constant time, so that how long it takes tells nothing of any."""
        digest, found = self.digest(text), None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


class Keys:
    """The keys in a folder, as last read. Raises ``KeysError`` when they cannot be read now.

    Lookups belong to one thread. Changes go to the file, alone among all processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._signature: Signature | None = None
        self._complaint = ""
        self._file = _File(secrets.token_bytes(32), ())
        self._by_id: dict[str, Key] = {}
        self._read()

    def find(self, text: str) -> Key | None:
        """The key that reads so, expired or not."""
        return self._file.find(text)

    def get(self, id: str) -> Key | None:
        """The key of this id; ``None`` after it was revoked."""
        return self._by_id.get(id)

    def all(self) -> tuple[Key, ...]:
        """In the order in which they were made."""
        return self._file.keys

    def refresh(self) -> None:
        """Read the file again when it has changed. When that fails what was known stays, and the log tells once."""
        try:
            if signature(self._path) == self._signature:
                return
            self._read()
            self._complaint = ""
        except (OSError, KeysError) as error:
            if str(error) != self._complaint:
                log.error("the keys stay as they were: %s", error)
            self._complaint = str(error)

    def create(self, name: str, *, now: float, own: str | None = None, **limits: Any) -> tuple[Key, str]:
        """A new key and its text, which is known here only now; ``own`` is a text of one's own.

        ``limits`` are further fields of ``Key``. Raises ValueError for a bad value, KeysError for all else.
        """
        text = PREFIX + secrets.token_urlsafe(RANDOM) if own is None else acceptable(own)
        with self._alone():
            if known := self.find(text):
                raise KeysError(f"this key is known already, as {known.id} ({known.name})")
            fields = {"id": self._new_id(), "name": name, "digest": self._file.digest(text), "created": now}
            key = _valid(fields | limits)
            self._write((*self._file.keys, key))
        return key, text

    def change(self, id: str, **limits: Any) -> Key:
        """Other fields for a key. Raises ValueError for a bad value, KeysError for all else."""
        with self._alone():
            changed = _valid(asdict(self._existing(id)) | limits)
            self._write(tuple(changed if key.id == id else key for key in self._file.keys))
        return changed

    def revoke(self, id: str) -> Key:
        """Forget a key; what it was. Raises KeysError."""
        with self._alone():
            revoked = self._existing(id)
            self._write(tuple(key for key in self._file.keys if key.id != id))
        return revoked

    def _new_id(self) -> str:
        while (id := f"k_{secrets.token_hex(3)}") in self._by_id:
            pass
        return id

    def _existing(self, id: str) -> Key:
        if key := self.get(id):
            return key
        raise KeysError(f"there is no key {id}")

    def _read(self) -> None:
        """Raises KeysError, and then leaves what was known."""
        try:
            with self._path.open("rb") as file:
                read, text = signature(file.fileno()), file.read()
        except FileNotFoundError as error:
            if self._signature is None:
                return
            raise KeysError(f"{self._path} is gone") from error
        except OSError as error:
            raise KeysError(f"{self._path} cannot be read: {error.strerror}") from error
        self._signature = read  # of a damaged file too: it is read again when it has changed
        try:
            file_ = msgspec.json.decode(text, type=_File)
        except ValueError as error:
            raise KeysError(f"{self._path} is damaged: {error}") from error
        by_id = {key.id: key for key in file_.keys}
        if len(by_id) < len(file_.keys):
            raise KeysError(f"{self._path} is damaged: two keys have the same id")
        self._file, self._by_id = file_, by_id

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the file, and what is in it is known. The operating system's errors become KeysError."""
        try:
            make_private(self._folder)
            with alone(self._folder):
                self._read()
                yield
        except OSError as error:
            raise KeysError(f"the keys in {self._folder} cannot be changed: {error.strerror}") from error

    def _write(self, keys: tuple[Key, ...]) -> None:
        replace(self._path, msgspec.json.format(msgspec.json.encode(_File(self._file.secret, keys))))
        self._read()


def guessable(text: str) -> bool:
    """Return whether ``text`` could be the guess of a key that an operator chose, not of one that was made here."""
    return not GENERATED.fullmatch(text)


def acceptable(own: str) -> str:
    """A key of one's own if it can be one. Raises ValueError, whose message does not hold it."""
    if not (own.isascii() and own.isprintable()) or " " in own:
        raise ValueError("a key is made of letters, digits and signs of ASCII, without spaces")
    if not OWN_MIN <= len(own) <= OWN_MAX:
        raise ValueError(f"a key has {OWN_MIN} to {OWN_MAX} characters")
    return own


def _valid(fields: dict[str, Any]) -> Key:
    """Raises ValueError."""
    if not (fields["name"].isprintable() and 1 <= len(fields["name"]) <= NAME_MAX):
        raise ValueError(f"a name is 1 to {NAME_MAX} printable characters")
    return msgspec.convert(fields, Key)
