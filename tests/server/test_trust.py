import asyncio
import plistlib
import socket
import ssl
import time
from datetime import UTC, datetime
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette

from appliance.server.certificates import make_authority, read
from appliance.server.platforms import PLATFORMS
from appliance.server.trust import label, profile, routes

CA = read(make_authority("box", datetime.fromtimestamp(time.time(), UTC)))
HERE = socket.gethostname().partition(".")[0] + ".local"


def get(path, ca=CA, host="box.local:8080"):
    async def work():
        transport = httpx.ASGITransport(Starlette(routes=routes(ca, 8443)))
        async with httpx.AsyncClient(transport=transport, base_url="http://box.local:8080") as web:
            return await web.get(path, headers={"host": host})

    return asyncio.run(work())


class Reader(HTMLParser):
    """The text, the links, and what a browser would load on its own; every element must be closed."""

    def __init__(self, page):
        super().__init__()
        self.words, self.links, self.loads, self.open = "", [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "br", "wbr"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name == "href" and tag == "a"]
        self.loads += [value for name, value in attrs if name == "src" or (name == "href" and tag != "a")]
        assert tag not in ("script", "iframe", "object")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_the_page_says_how_for_every_platform():
    answer = get("/trust")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Reader(answer.text)
    assert CA.fingerprint in page.words
    assert "appliance trust" in page.words
    assert "plain http" in page.words
    for platform in PLATFORMS:
        assert platform.title in page.words
        assert platform.text in page.words
        assert all(line in page.words for line in platform.lines(label(CA), "https://box.local:8443"))
    assert "wss://box.local:8443" in page.words
    for word in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "--cacert", "update-ca-certificates", "certutil -addstore",
                 "add-trusted-cert", "Certificate Trust Settings", "Install a certificate", "Authorities"):  # fmt: skip
        assert word in page.words


def test_the_page_needs_nothing_from_elsewhere():
    answer = get("/trust")
    page = Reader(answer.text)
    assert page.loads == []
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_every_link_of_the_page_leads_to_a_file():
    links = Reader(get("/trust").text).links
    assert links == ["/trust/ca.pem", "/trust/ca.crt", "/trust/ca.mobileconfig"]
    assert {get(link).status_code for link in links} == {200}


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("box.local:8080", "box.local"),
        ("10.0.0.7", "10.0.0.7"),
        ("[fd00::7]:8080", "[fd00::7]"),
        ("a..b", HERE),
    ],
)
def test_addresses_are_those_the_reader_uses_if_they_are_any(host, shown):
    assert f"https://{shown}:8443" in Reader(get("/trust", host=host).text).words


@pytest.mark.parametrize("host", ["<script>", "a'onclick=\"x", "a&lt;script", "[", "", "$url", "{name}"])
def test_what_the_reader_s_browser_says_is_not_put_on_the_page(host):
    answer = get("/trust", host=host)
    assert answer.status_code == 200
    assert f"https://{host}:" not in answer.text
    assert "<script" not in answer.text
    assert "onclick" not in answer.text


def test_the_downloads_are_the_authority_s_certificate():
    pem, crt = get("/trust/ca.pem"), get("/trust/ca.crt")
    assert pem.text == CA.pem
    assert pem.headers["content-type"] == "application/x-pem-file"
    assert ssl.DER_cert_to_PEM_cert(crt.content).split() == CA.pem.split()
    assert crt.headers["content-type"] == "application/x-x509-ca-cert"


def test_the_profile_is_one_of_apple_s_and_always_the_same():
    answer = get("/trust/ca.mobileconfig")
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    assert answer.content == profile(CA)
    outer = plistlib.loads(answer.content)
    (inner,) = outer["PayloadContent"]
    assert (outer["PayloadType"], inner["PayloadType"]) == ("Configuration", "com.apple.security.root")
    assert inner["PayloadContent"] == CA.der
    names = [outer["PayloadUUID"], inner["PayloadUUID"], outer["PayloadIdentifier"], inner["PayloadIdentifier"]]
    other = plistlib.loads(profile(read(make_authority("box", datetime(2026, 1, 1, tzinfo=UTC)))))
    names += [other["PayloadUUID"], other["PayloadContent"][0]["PayloadUUID"], other["PayloadIdentifier"]]
    assert len(set(names)) == 7


def test_with_a_certificate_of_one_s_own_there_is_nothing_to_download():
    page = Reader(get("/trust", ca=None).text)
    assert "certificate from elsewhere" in page.words
    assert page.links == []
    for path in ("/trust/ca.pem", "/trust/ca.crt", "/trust/ca.mobileconfig"):
        assert get(path, ca=None).status_code == 404
