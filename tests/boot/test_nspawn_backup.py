"""What docs/operations.md says of copies of the state, done by its own commands."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest

from tests.boot.clients import KIOSK
from tests.boot.conftest import Boot, Box
from tests.boot.root import CHECKOUT

pytestmark = pytest.mark.boot


def commands(beginning: str) -> str:
    """The block of the page that follows a paragraph that ends so."""
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    (block,) = re.findall(rf"{re.escape(beginning)}\n\n((?:    .*\n)+)", page)
    return str(block)


def listens(box: Box, key: str) -> int:
    """The status of the answer to whoever comes with this key."""
    request = urllib.request.Request(f"{box.url()}/v1/microphones", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_copy_is_put_back(boot: Boot) -> None:
    """Keys and the authority are as they were, also where the service's user has another number."""
    with boot(KIOSK) as box:
        run = box.machine.run
        box.machine.ready()
        key, authority = box.key(), run("appliance", "trust", "--pem")
        run("sh", "-ec", commands("As root:"))
        assert "accounts/keys.json" in run("tar", "-tzf", "/root/box.tar.gz")
        run("systemctl", "stop", "appliance")
        run("sh", "-ec", "rm -rf /var/lib/private/appliance")
        run("systemctl", "start", "appliance", limit_s=120)
        box.machine.ready()
        assert listens(box, key) == 401
        run("sh", "-ec", "chown -R 61999:61999 /var/lib/private/appliance")  # another machine, another number
        run("sh", "-ec", commands("Putting it back, also on another machine:"), limit_s=120)
        box.machine.ready()
        assert listens(box, key) == 200
        assert run("appliance", "trust", "--pem") == authority
        owner = run("stat", "-c", "%u", f"/proc/{box.machine.show()['MainPID']}")
        assert set(run("find", "/var/lib/private/appliance", "-printf", "%U ").split()) == {owner}
