import base64

import pytest

from appliance.setup import values
from appliance.setup.problem import Wrong
from tests.setup.box import SSH_KEY


@pytest.mark.parametrize(
    ("read", "written", "meant"),
    [
        (values.host_name, "Kitchen", "kitchen"),
        (values.host_name, "box-2.local", "box-2"),
        (values.host_name, "a" * 63, "a" * 63),
        (values.ssid, "Max\u2019s iPhone", "Max\u2019s iPhone"),
        (values.ssid, " ", " "),
        (values.ssid, "ä" * 16, "ä" * 16),
        (values.passphrase, "12345678", "12345678"),
        (values.passphrase, "a\u00a0b#\\\"' =", "a b#\\\"' ="),
        (values.country, "de", "DE"),
        (values.own_key, "kitchen tablet 0123456789abcdef", values.OwnKey("kitchen tablet", "0123456789abcdef")),
        (values.own_key, '"tablet"\t0123456789abcdef', values.OwnKey("tablet", "0123456789abcdef")),
        (values.ssh_key, SSH_KEY, SSH_KEY),
        (values.ssh_key, SSH_KEY.replace(" ", "   "), SSH_KEY),
        (values.ssh_key, SSH_KEY.rsplit(" ", 1)[0], SSH_KEY.rsplit(" ", 1)[0]),
        (values.address, "192.168.1.20/24", values.Address("192.168.1.20/24")),
        (values.address, "10.0.0.0/31", values.Address("10.0.0.0/31")),
        (values.ips, "1.1.1.1, 9.9.9.9", ("1.1.1.1", "9.9.9.9")),
        (values.servers, "pool.ntp.org 192.168.1.1", ("pool.ntp.org", "192.168.1.1")),
        (values.zone, "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        (values.language, "EN", "en"),
        (values.part, "USB PnP", "USB PnP"),
        (values.yes, "Yes", True),
        (values.yes, "off", False),
        (values.access, "Open", "open"),
        (values.lights, "board", "gpio"),
    ],
)
def test_good(read, written, meant):
    assert read(written) == meant


@pytest.mark.parametrize(
    ("read", "written", "said"),
    [
        (values.host_name, "Kitchen Box", "as in `kitchen-box`"),
        (values.host_name, "Küche", "as in `kuche`"),
        (values.host_name, "-", "digits and hyphens between them, at most 63"),
        (values.host_name, "1234", "letters"),
        (values.host_name, "localhost", "letters"),
        (values.host_name, "a" * 64, "at most 63, as in `aaa"),
        (values.ssid, "ä" * 17, "1 to 32 bytes; this has 34"),
        (values.ssid, "a\tb", "no text"),
        (values.passphrase, "1234567", "has 7 characters; it needs 8 to 63"),
        (values.passphrase, "x", "has 1 character; it needs"),
        (values.passphrase, "1" * 64, "has 64 characters"),
        (values.passphrase, "passwörter", "character 6"),
        (values.country, "UK", "did you mean GB?"),
        (values.country, "Germany", "two letters"),
        (values.own_key, "0123456789abcdef", "a key needs a name before it"),
        (values.own_key, "tablet short", "16 to 512 characters; this one, after the name, has 5"),
        (values.own_key, "tablet 0123456789abcdéf", "ASCII"),
        (values.own_key, "a" * 50 + " 0123456789abcdef", "1 to 49"),
        (values.ssh_key, "AAAAC3", "begins with its kind: ssh-ed25519"),
        (values.ssh_key, "ssh-ed25519", "not whole"),
        (values.ssh_key, SSH_KEY.split()[1], "begins with its kind"),
        (values.ssh_key, SSH_KEY[:60], "not whole"),
        (values.ssh_key, SSH_KEY.replace("ssh-ed25519", "ssh-rsa", 1), "not whole"),
        (values.ssh_key, "command=x " + SSH_KEY, "begins with its kind"),
        (values.ssh_key, "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519").decode(), "not whole"),
        (values.ssh_key, "-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        (values.address, "192.168.1.20", "in most homes it is 192.168.1.20/24"),
        (values.address, "192.168.1.0/24", "not an address that one machine can have"),
        (values.address, "192.168.1.255/24", "not an address that one machine can have"),
        (values.address, "127.0.0.1/8", "not an address that one machine can have"),
        (values.address, "1.2.3.4/0", "not an address that one machine can have"),
        (values.address, "192.168.1.300/24", "four numbers"),
        (values.address, "fe80::1/64", "four numbers"),
        (values.ip, "gateway", "four numbers"),
        (values.ips, ",", "nothing after"),
        (values.servers, "a_b", "a time server"),
        (values.servers, "-x", "a time server"),
        (values.zone, "../../etc/shadow", "as in Europe/Berlin"),
        (values.zone, "/etc", "as in Europe/Berlin"),
        (values.language, "English", "as in en"),
        (values.language, "de-CH", "as in de"),
        (values.part, "x" * 65, "1 to 64"),
        (values.part, "a\x00b", "no text"),
        (values.yes, "maybe", "yes or no"),
        (values.access, "all", "keys, open"),
        (values.lights, "gpio", "board, none"),
    ],
)
def test_bad(read, written, said):
    with pytest.raises(Wrong) as caught:
        read(written)
    assert said in str(caught.value)


@pytest.mark.parametrize("secret", ["hunter2", "pässword-of-mine", "x" * 70])
@pytest.mark.parametrize("read", [values.passphrase, lambda text: values.own_key(f"name {text[:13]}")])
def test_a_secret_is_not_told(read, secret):
    with pytest.raises(Wrong) as caught:
        read(secret)
    assert secret[:7] not in str(caught.value)
