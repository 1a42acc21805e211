import pytest

from appliance.setup.files import File, Link
from appliance.setup.network import encoded, escaped
from appliance.setup.plan import Box, plan
from appliance.setup.settings import read
from tests.setup.box import SSH_KEY

BOX = Box("appliance", "/data/setup/ssh/key", lambda: ["kiosk-words", "other"], lambda zone: zone == "Europe/Berlin")


def planned(text):
    settings, problems = read(text.encode())
    assert problems == []
    return plan(settings, BOX)


def files(text):
    return {file.path: file for file in planned(text).files}


def text_of(text, path):
    file = files(text)[path]
    assert isinstance(file, File)
    return file.text


def test_nothing_asked_is_nothing_done():
    made = planned("")
    assert (made.name, made.files, made.tables, made.commands, made.ssh) == ("appliance", (), {}, (), False)


def test_the_name():
    assert text_of("name = kitchen", "/etc/hostname") == "kitchen\n"
    assert "127.0.1.1 kitchen\n" in text_of("name = kitchen", "/etc/hosts")
    assert planned("name = kitchen").commands == (("hostname", "kitchen"),)


@pytest.mark.parametrize(
    ("ssid", "name"),
    [
        ("home", "home"),
        ("My Home_2-4", "My Home_2-4"),
        ("caf\u00e9", "=636166c3a9"),
        ("a.b", "=612e62"),
        ("../x", "=2e2e2f78"),
        ("=41", "=3d3431"),
        ("Max\u2019s", "=4d6178e2809973"),
    ],
)
def test_how_iwd_names_the_file_of_a_network(ssid, name):
    """src/storage.c, storage_get_network_file_path()."""
    assert encoded(ssid) == name


@pytest.mark.parametrize(
    ("value", "written"),
    [("a b#=", "a b#="), ("  a b ", "\\s\\sa b "), ("a\\s", "a\\\\s"), ("\\", "\\\\"), ('"a"', '"a"')],
)
def test_how_iwd_reads_a_value(value, written):
    """iwd.network(5), file format."""
    assert escaped(value) == written


def test_networks():
    made = files("wifi=home\nwifi-password=12345678\nwifi-hidden=yes\nwifi=caf\u00e9")
    secret = "[Settings]\nAutoConnect=true\nHidden=true\n\n[Security]\nPassphrase=12345678\n"
    assert list(made.values()) == [
        File("/var/lib/iwd/home.psk", secret, 0o600),
        File("/var/lib/iwd/=636166c3a9.open", "[Settings]\nAutoConnect=true\n", 0o600),
    ]


def test_the_country():
    assert text_of("country = de", "/etc/iwd/main.conf") == "[General]\nCountry=DE\n"


def test_an_address_of_the_cable():
    network = text_of("address = 192.168.1.20/24\ngateway = 192.168.1.1", "/etc/systemd/network/10-appliance.network")
    assert network == (
        "[Match]\nType=ether\n\n[Network]\nDHCP=no\nAddress=192.168.1.20/24\nGateway=192.168.1.1\n"
        "DNS=192.168.1.1\nMulticastDNS=yes\nLLMNR=no\n"
    )


def test_an_address_of_the_radio():
    settings = "wifi = home\naddress = 192.168.1.20/24\ndns = 1.1.1.1 9.9.9.9"
    network = text_of(settings, "/etc/systemd/network/10-appliance.network")
    assert network.startswith("[Match]\nType=wlan\n\n")
    assert "\nDNS=1.1.1.1\nDNS=9.9.9.9\n" in network
    assert "Gateway" not in network


def test_the_time():
    made = files("time-server = a.example b.example\ntimezone = Europe/Berlin")
    assert made["/etc/localtime"] == Link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
    path = "/etc/systemd/timesyncd.conf.d/appliance.conf"
    assert made[path] == File(path, "[Time]\nNTP=a.example b.example\n")


def test_what_the_box_does_not_have():
    made = plan(read(b"timezone = Europe/Berlim\nmodel = big")[0], BOX)
    assert [str(problem) for problem in made.problems] == [
        "line 1: `timezone`: there is no time zone Europe/Berlim; they are named like Europe/Berlin or America/Lima",
        "line 2: `model`: there is no model big on this box; those are: kiosk-words, other",
    ]
    assert (made.files, made.tables) == ((), {})


def test_ssh():
    made = files(f"ssh-key = {SSH_KEY}")
    assert made["/root/.ssh/authorized_keys"] == File("/root/.ssh/authorized_keys", f"{SSH_KEY}\n", 0o600)
    sshd = made["/etc/ssh/sshd_config.d/00-appliance.conf"]
    assert isinstance(sshd, File)
    assert sshd.text.startswith("HostKey /data/setup/ssh/key\n")
    asked = planned(f"ssh-key = {SSH_KEY}")
    assert (asked.ssh, asked.commands) == (True, (("systemctl", "--no-block", "start", "ssh.service"),))


def test_the_configuration():
    made = planned("access=open\nlanguage=de\nmodel=other\nlights=board\nmicrophone=USB\nmicrophone=B\nmicrophone=C")
    assert made.tables == {
        "server": {"auth": "open"},
        "recognizer": {"language": "de", "model": "other"},
        "lights": {"driver": "gpio"},
        "microphones": [
            {"name": "default", "device": "USB"},
            {"name": "microphone-2", "device": "B"},
            {"name": "microphone-3", "device": "C"},
        ],
    }
    assert planned("microphone = none").tables == {"microphones": []}
