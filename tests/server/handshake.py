"""TLS between two contexts in memory, with clients as strict as Python 3.13's."""

from __future__ import annotations

import ssl
from pathlib import Path

from appliance.server.certificates import Certificate, read


class Pair:
    """A connection in memory: made, it has shaken hands, or raised what the client or the server says against that."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(down, up, server_hostname=name)
        self.server = server.wrap_bio(up, down, server_side=True)
        waiting = [self.client, self.server, self.client, self.server]
        for side in waiting:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)

    def says(self, words: bytes) -> bytes:
        """What the server gets when the client writes ``words``."""
        self.client.write(words)
        return self.server.read()

    @property
    def certificate(self) -> Certificate:
        """The server's, as the client sees it."""
        der = self.client.getpeercert(binary_form=True)
        assert der
        return read(ssl.DER_cert_to_PEM_cert(der).encode())


def trusting(ca: Path | str) -> ssl.SSLContext:
    """A client that trusts only this authority (a file)."""
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    return context


def serving(pem: Path) -> ssl.SSLContext:
    """A server with the certificate and key in this file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
