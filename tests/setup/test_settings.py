from pathlib import Path

import pytest

from appliance.setup.settings import MEANT, TABLE, Settings, Wifi, read
from appliance.setup.values import Address, OwnKey
from tests.setup.box import SOURCE, SSH_KEY

TEMPLATE = SOURCE / "image" / "appliance.txt"


def told(text):
    settings, problems = read(text.encode())
    return settings, [str(problem) for problem in problems]


def test_everything():
    settings, problems = told(
        f"""
        name = kitchen
        wifi = home
        wifi-password = 12345678
        wifi = garden
        country = de
        address = 192.168.1.20/24
        gateway = 192.168.1.1
        dns = 1.1.1.1
        dns = 9.9.9.9, 8.8.8.8
        time-server = 192.168.1.1
        timezone = Europe/Berlin
        access = open
        key = tablet 0123456789abcdef
        key = phone fedcba9876543210
        microphone = USB
        microphone = Array
        language = en
        model = kiosk-words
        lights = none
        ssh-key = {SSH_KEY}
        ssh-key = {SSH_KEY}
        """
    )
    assert problems == []
    assert settings == Settings(
        name="kitchen",
        wifi=(Wifi("home", "12345678"), Wifi("garden")),
        country="DE",
        address=Address("192.168.1.20/24"),
        gateway="192.168.1.1",
        dns=("1.1.1.1", "9.9.9.9", "8.8.8.8"),
        time_servers=("192.168.1.1",),
        timezone="Europe/Berlin",
        access="open",
        keys=(OwnKey("tablet", "0123456789abcdef"), OwnKey("phone", "fedcba9876543210")),
        wants_keys=True,
        microphones=("USB", "Array"),
        language="en",
        model="kiosk-words",
        lights="none",
        ssh_keys=(SSH_KEY,),
        lines=settings.lines,
    )
    assert (settings.lines["name"], settings.lines["key"]) == (2, 14)


def test_nothing():
    assert read(b"") == (Settings(), [])


def test_a_setting_that_is_none():
    _, problems = told("wfi = a\nwifi pasword = b\n= c\nsecret-word = hunter2\njust text")
    assert problems[:2] == [
        "line 1: `wfi` is not a setting; did you mean `wifi`?",
        "line 2: `wifi-pasword` is not a setting; did you mean `wifi-password`?",
    ]
    assert all("is not a setting; those are: name, wifi," in problem for problem in problems[2:4])
    assert problems[4] == "line 5: this is neither `setting = value` nor a comment, which begins with #"
    assert not any("secret" in problem or "hunter" in problem or "just" in problem for problem in problems)


def test_names_from_elsewhere():
    assert told("SSID = a")[1] == ["line 1: `ssid` is not a setting; did you mean `wifi`?"]
    assert set(MEANT.values()) <= set(TABLE)
    assert not set(MEANT) & set(TABLE)


def test_a_bad_value_is_told_with_its_line_and_setting():
    settings, problems = told("language = en\nwifi = a\nwifi-password = 1234567")
    assert problems == ["line 3: `wifi-password`: the Wi-Fi password has 7 characters; it needs 8 to 63"]
    assert settings.language == "en"


def test_nothing_after_the_sign():
    assert told("name =")[1] == ["line 1: `name`: there is nothing after the equals sign"]
    assert told('wifi = ""')[1] == ["line 1: `wifi`: there is nothing after the equals sign"]


def test_the_first_of_two_counts():
    settings, problems = told("name = a\nname = b")
    assert (settings.name, problems) == ("a", ["line 2: `name` is said in line 1 already, which counts"])


@pytest.mark.parametrize(
    ("text", "networks", "said"),
    [
        ("wifi=a\nwifi=b\nwifi-password=12345678\nwifi-hidden=yes", (Wifi("a"), Wifi("b", "12345678", True)), []),
        ("wifi=a\nwifi-hidden=yes\nwifi-password=12345678", (Wifi("a", "12345678", True),), []),
        ("wifi-password=12345678\nwifi=a", (Wifi("a"),), ["line 1: `wifi-password` needs the line `wifi`"]),
        # without its password it would be an open network of that name, which anybody can set up
        ("wifi=a\nwifi-password=short\nwifi=b", (Wifi("b"),), ["line 2: `wifi-password`: the Wi-Fi password has 5"]),
        ("wifi=a\nwifi-hidden=perhaps", (), ["line 2: `wifi-hidden`: this is answered with yes or no"]),
        # the password of a network with a bad name is not that of the one before
        (f"wifi=a\nwifi={'x' * 33}\nwifi-password=12345678", (Wifi("a"),), ["line 2: `wifi`: the name of a Wi-Fi"]),
        ("wifi=a\nwifi-password=12345678\nwifi-password=87654321", (), ["line 3: this network has a `wifi-password`"]),
        ("wifi=a\nwifi=a\nwifi-password=12345678", (Wifi("a"),), ["line 2: `wifi`: this network has been named"]),
        (f"wifi={'x' * 33}\nwifi={'y' * 33}", (), ["line 1: `wifi`: the name", "line 2: `wifi`: the name"]),
    ],
)
def test_networks(text, networks, said):
    settings, problems = told(text)
    assert settings.wifi == networks
    assert [problem[: len(begin)] for problem, begin in zip(problems, said, strict=True)] == said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gateway = 192.168.1.1", "line 1: `gateway` counts only with a good line `address`"),
        ("dns = 192.168.1.1", "line 1: `dns` counts only with a good line `address`"),
        (
            "address = 192.168.1.20/24\ngateway = 192.168.2.1",
            "line 2: `gateway`: 192.168.2.1 is not another machine in the network of 192.168.1.20/24",
        ),
        (
            "address = 192.168.1.20/24\ngateway = 192.168.1.20",
            "line 2: `gateway`: 192.168.1.20 is not another machine in the network of 192.168.1.20/24",
        ),
    ],
)
def test_addresses_that_do_not_go_together(text, line):
    settings, problems = told(text)
    assert (settings.gateway, settings.dns, problems) == (None, (), [line])


def test_no_microphone():
    assert told("microphone = None")[0].microphones == ()
    settings, problems = told("microphone = USB\nmicrophone = none")
    assert settings.microphones == ("USB",)
    assert problems == ["line 2: `microphone`: none cannot be together with one that is named"]


def test_the_same_key_twice():
    settings, problems = told("key = a 0123456789abcdef\nkey = b 0123456789abcdef")
    assert [key.name for key in settings.keys] == ["a"]
    assert problems == ["line 2: `key`: this key is given above already"]


def test_microphone_key_has_the_right_to_listen():
    settings, problems = told("microphone-key = a 0123456789abcdef\nkey = b fedcba9876543210")
    assert [(key.name, key.microphones) for key in settings.keys] == [("a", True), ("b", False)]
    assert (settings.wants_keys, problems) == (True, [])
    assert told("microphone-key = a short")[0].wants_keys
    settings, problems = told("microphone-key = a 0123456789abcdef\nkey = b 0123456789abcdef")
    assert [key.microphones for key in settings.keys] == [True]
    assert problems == ["line 2: `key`: this key is given above already"]


def test_a_bad_key_says_too_that_the_owner_wants_his_own():
    assert told("key = a short")[0].wants_keys
    assert not told("# key = a short")[0].wants_keys


def test_problems_are_in_the_order_of_the_lines():
    _, problems = told("gateway = 1.2.3.4\nfoo bar\nname = -")
    assert [problem.split(":")[0] for problem in problems] == ["line 1", "line 2", "line 3"]


def test_what_is_no_text_of_a_person():
    settings, [problem] = read(b"name = a\n" * 100_000)
    assert settings == Settings()
    assert str(problem).startswith("the file has 900000 bytes")


def uncommented(template: Path) -> str:
    """The template with its settings in use: they begin with # and no space."""
    lines = template.read_text().split("\n")
    return "\n".join(line[1:] if line[:1] == "#" and line[1:2].isalpha() else line for line in lines)


def test_the_template_says_nothing_until_it_is_changed():
    assert read(TEMPLATE.read_bytes()) == (Settings(), [])


def test_every_example_of_the_template_is_good_and_every_setting_has_one():
    settings, problems = told(uncommented(TEMPLATE))
    assert problems == []
    assert set(settings.lines) == set(TABLE)
    assert [network.hidden for network in settings.wifi] == [False, True]
