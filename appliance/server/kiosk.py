"""``/kiosk``: a page for a screen that shows what a microphone of this box hears. See ``docs/kiosk.md``.

It comes from the box because only a page of the same origin may listen. It is one file and needs no other.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

FILE = Path(__file__).with_name("static") / "kiosk.html"


def routes() -> list[BaseRoute]:
    """The page."""
    text = FILE.read_text()
    headers = {
        "content-security-policy": policy(text),
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }

    async def page(request: Request) -> Response:
        return HTMLResponse(text, headers=headers)

    return [Route("/kiosk", page)]


def policy(text: str) -> str:
    """It runs its own script and style and nothing else, speaks to its own box only, and is in nobody's frame."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(text, 'script')}",
            f"style-src {_digest(text, 'style')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digest(text: str, element: str) -> str:
    """By which a browser knows the content of this element."""
    (content,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
