"""``/trust``: the page that tells people how to trust the box's authority, and its certificate to download."""

from __future__ import annotations

import plistlib
import socket
import uuid
from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from appliance.server.certificates import Certificate
from appliance.server.machine import canonical
from appliance.server.platforms import PLATFORMS

STATIC = Path(__file__).with_name("static")
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}
SPACE = uuid.UUID("6f0c2a53-6a0f-4f5e-9d0b-2b8a3f5b7c11")
"""Of the profile's identifiers: a device replaces a profile that it has by one with the same."""


def routes(ca: Certificate | None, port: int) -> list[BaseRoute]:
    """The page and the downloads. ``ca``: None when the certificate is not the box's own; ``port``: where TLS is."""
    shell, inner = (Template((STATIC / name).read_text()) for name in ("page.html", "trust.html" if ca else "own.html"))

    async def page(request: Request) -> Response:
        url = f"https://{_host(request)}:{port}"
        places = {"url": url, "wss": f"wss{url[5:]}", "fingerprint": "", "platforms": ""}
        if ca:
            pairs = ca.fingerprint.replace(":", ":<wbr>")  # lines end between pairs
            places |= {"fingerprint": pairs, "platforms": _platforms(label(ca), url)}
        return HTMLResponse(shell.substitute(content=inner.substitute(places)), headers=HEADERS)

    def download(name: str, content: bytes, kind: str) -> Route:
        async def send(request: Request) -> Response:
            return Response(content, media_type=kind, headers=HEADERS)

        return Route(f"/trust/{name}", send)

    async def absent(request: Request) -> Response:
        return PlainTextResponse("this appliance has no authority of its own", 404)

    if ca is None:
        return [Route("/trust", page), Route("/trust/{name}", absent)]
    return [
        Route("/trust", page),
        download("ca.pem", ca.pem.encode(), "application/x-pem-file"),
        download("ca.crt", ca.der, "application/x-x509-ca-cert"),
        download("ca.mobileconfig", profile(ca), "application/x-apple-aspen-config"),
    ]


def label(ca: Certificate) -> str:
    """A file name for this authority among those of other boxes."""
    return f"speech-appliance-{ca.fingerprint.replace(':', '')[:8].lower()}"


def profile(ca: Certificate) -> bytes:
    """A configuration profile of Apple's (payload type com.apple.security.root); the same for the same authority."""
    name = label(ca)
    certificate = {
        "PayloadType": "com.apple.security.root",
        "PayloadIdentifier": f"{name}.root",
        "PayloadUUID": str(uuid.uuid5(SPACE, f"{ca.fingerprint} root")),
        "PayloadVersion": 1,
        "PayloadDisplayName": name,
        "PayloadCertificateFileName": f"{name}.crt",
        "PayloadContent": ca.der,
    }
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadIdentifier": name,
            "PayloadUUID": str(uuid.uuid5(SPACE, ca.fingerprint)),
            "PayloadVersion": 1,
            "PayloadDisplayName": "Speech appliance",
            "PayloadDescription": "Trusts the appliance's certificate authority.",
            "PayloadContent": [certificate],
        }
    )


def _platforms(name: str, url: str) -> str:
    def section(title: str, text: str, lines: list[str]) -> str:
        commands = f"\n<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""
        return f"<details><summary>{escape(title)}</summary>\n<p>{escape(text)}</p>{commands}\n</details>"

    return "\n".join(section(each.title, each.text, each.lines(name, url)) for each in PLATFORMS)


def _host(request: Request) -> str:
    """What the reader calls the box, when that can be a host's name; the rest is not for a page."""
    try:
        name = canonical(request.url.hostname or "")
    except ValueError:
        name = f"{socket.gethostname().partition('.')[0]}.local"
    return f"[{name}]" if ":" in name else name
