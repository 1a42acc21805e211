"""The page for a screen: what it is allowed, and that it needs nothing from elsewhere. In a browser: tests/clients."""

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette

from appliance.server.kiosk import FILE, policy, routes


def get():
    async def work():
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://box.local:8080") as web:
            return await web.get("/kiosk")

    return asyncio.run(work())


class Reader(HTMLParser):
    """What a browser would load by itself, and what it would run."""

    def __init__(self, page):
        super().__init__()
        self.loads, self.handlers, self.inner, self._element = [], [], {}, ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._element = tag
        self.loads += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag):
        self._element = ""

    def handle_data(self, data):
        self.inner[self._element] = self.inner.get(self._element, "") + data


def test_it_is_one_file_that_needs_no_other():
    answer = get()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Reader(answer.text)
    assert page.loads == ["data:,"]  # no icon
    assert page.handlers == []
    assert not re.search(r"https?:|url\(|@import|import\(", answer.text)


def test_it_may_run_what_it_brings_and_speak_to_its_own_box():
    answer = get()
    page = Reader(answer.text)
    allowed = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert allowed["default-src"] == "'none'"
    assert allowed["connect-src"] == "'self'"
    assert allowed["frame-ancestors"] == "'none'"
    for element in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.inner[element].encode()).digest()).decode()
        assert allowed[f"{element}-src"] == f"'sha256-{digest}'"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_second_script_would_be_noticed():
    """It would not run, as nothing vouches for it."""
    with pytest.raises(ValueError, match="too many values"):
        policy(FILE.read_text() + "<script>1</script>")


def test_words_are_never_read_as_html():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", FILE.read_text())
