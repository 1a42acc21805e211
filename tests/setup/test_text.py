import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.setup.settings import read
from appliance.setup.text import Line, decode, lines, unquoted

ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8 with a mark": "utf-8-sig",
    "utf-16 with a mark": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "Windows": "cp1252",
}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=list(ENCODINGS))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_however_it_was_saved(encoding, end):
    text = end.join(["# Küche", "name = kitchen", "", "wifi = Café"])
    assert list(lines(decode(text.encode(encoding)))) == [Line(2, "name", "kitchen"), Line(4, "wifi", "Café")]


def test_big_endian_with_a_mark():
    assert decode(b"\xfe\xff" + "name = ü".encode("utf-16-be")) == "name = ü"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("name=a", "name", "a"),
        ("  name \t=  a  ", "name", "a"),
        ("\u00a0name\u00a0=\u00a0a\u00a0\u200b", "name", "a"),
        ("Wifi_Password = a", "wifi-password", "a"),
        ("WIFI PASSWORD = a", "wifi-password", "a"),
        ("wifi\u2013password = a", "wifi-password", "a"),
        ("wifi-password = a # b", "wifi-password", "a # b"),
        ("wifi-password = #=#", "wifi-password", "#=#"),
        ("name =", "name", ""),
        ("=a", "", "a"),
    ],
)
def test_a_line(line, name, value):
    assert list(lines(line)) == [Line(1, name, value)]


@pytest.mark.parametrize("line", ["", "   ", "\u00a0", "# name = a", "  # a", "\ufeff#a", "#"])
def test_what_says_nothing(line):
    assert list(lines(line)) == []


def test_a_line_without_an_equals_sign_is_there_without_what_it_says():
    assert list(lines("my secret")) == [Line(1, None, "")]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"a b"', "a b"),
        ("'a'", "a"),
        ("\u201ca\u201d", "a"),
        ("\u201ea\u201c", "a"),
        ("\u201da\u201d", "a"),
        ("\u2018a\u2019", "a"),
        ("\u00aba\u00bb", "a"),
        ('" a "', " a "),
        ('""a""', '"a"'),
        ('"a', '"a'),
        ('a"', 'a"'),
        ("\"a'", "\"a'"),
        ('"', '"'),
        ('""', ""),
        ("Max\u2019s", "Max\u2019s"),
    ],
)
def test_one_pair_of_quotes_goes(written, meant):
    assert unquoted(written) == meant


@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00\xd8")
@example(b"\x00" * 7)
@example(b"wifi = \x00\n")
@example(b"key = a \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
@example(b"address = 1.2.3.4/99\ngateway = 1\ndns = x")
def test_any_bytes_are_read(data):
    settings, problems = read(data)
    for problem in problems:
        assert str(problem).isprintable()
    assert settings is not None


NAMED = st.sampled_from(["name", "wifi", "wifi-password", "key", "ssh-key", "address", "timezone", "microphone", "x"])
ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60)


@given(NAMED, ANYTHING)
def test_any_value_is_read(name, value):
    read(f"{name} = {value}".encode())


@given(st.lists(ANYTHING.filter(lambda line: "=" not in line), max_size=8), st.data())
def test_good_lines_count_among_bad_ones(junk, data):
    good = ["name = kitchen", "language = de", "wifi = home\nwifi-password = 12345678"]
    mixed = data.draw(st.permutations(junk + good))
    settings, problems = read("\n".join(mixed).encode())
    assert (settings.name, settings.language, settings.wifi[0].password) == ("kitchen", "de", "12345678")
    assert len(problems) == sum(1 for line in lines("\n".join(junk)))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=63))
def test_a_password_survives(password):
    [network] = read(f'wifi = home\nwifi-password = "{password}"'.encode())[0].wifi
    assert network.password == password
