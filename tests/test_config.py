import pytest

from appliance.config import ConfigError, MicrophoneConfig, load
from appliance.core.options import Mode


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_complete():
    config = load()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.recognizer.engine == "auto"
    assert config.endpointing.mode is Mode.VAD
    assert config.scheduling.workers == 0
    assert config.log.level == "info"
    assert config.microphones == (MicrophoneConfig("default", "default", 16_000, None, None),)


@pytest.mark.parametrize(
    ("text", "read", "value"),
    [
        ("[server]\nport = 0", lambda c: c.server.port, 0),
        ("[server]\nport = 9000", lambda c: c.server.host, "127.0.0.1"),
        ("[server]\ndrain_s = 3", lambda c: c.server.drain_s, 3.0),
        ("[endpointing]\nthreshold = 1", lambda c: c.endpointing.threshold, 1.0),
        ('[endpointing]\nmode = "manual"', lambda c: c.endpointing.mode, Mode.MANUAL),
        ('[recognizer]\nlanguage = "hi"', lambda c: c.recognizer.language, "hi"),
        (
            '[[microphones]]\nname = "desk"\nrate = 48000',
            lambda c: [(m.name, m.rate) for m in c.microphones],
            [("desk", 48_000)],
        ),
        (
            '[[microphones]]\nname = "a"\n[[microphones]]\nname = "b"',
            lambda c: [m.name for m in c.microphones],
            ["a", "b"],
        ),
        ("microphones = []", lambda c: c.microphones, ()),
        ("", lambda c: c.server.port, 8080),
        ("", lambda c: c.scheduling.partial_share, 0.35),
        ("[scheduling]\npartial_share = 1", lambda c: c.scheduling.partial_share, 1.0),
    ],
)
def test_a_file_needs_only_what_differs(tmp_path, text, read, value):
    assert read(load(written(tmp_path, text))) == value


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("[server]\nporto = 1", "server", "porto"),
        ("[servers]\nport = 1", "", "servers"),
        ("[endpointing]\nsilence = 1", "endpointing", "silence"),
        ("[scheduling]\ncolour = 1", "scheduling", "colour"),
        ("[log]\nfile = 'x'", "log", "file"),
        ("[[microphones]]\ngain = 1", "microphones[0]", "gain"),
        ("[server]\nport = '80'", "server.port", "`int`, got `str`"),
        ("[server]\nport = 65536", "server.port", "65535"),
        ("[server]\nport = -1", "server.port", ">= 0"),
        ("[server]\nmax_message_bytes = 10", "server.max_message_bytes", "65536"),
        ("[server]\nauth = 'closed'", "server.auth", "closed"),
        ("[server]\ndrain_s = 601", "server.drain_s", "600"),
        ("server = 1", "server", "`object`"),
        ("[recognizer]\nengine = 'kaldi'", "recognizer.engine", "kaldi"),
        ("[recognizer]\nlanguage = 'English'", "recognizer.language", "matching"),
        ("[recognizer]\ndetector = 'none'", "recognizer.detector", "none"),
        ("[endpointing]\nthreshold = 1.5", "endpointing.threshold", "1.0"),
        ("[endpointing]\nhangover_ms = 1.5", "endpointing.hangover_ms", "`int`"),
        ("[endpointing]\nlongest_ms = 999", "endpointing.longest_ms", "1000"),
        ("[endpointing]\npre_roll_ms = 60001", "endpointing.pre_roll_ms", "60000"),
        ("[scheduling]\npartial_share = 0.04", "scheduling.partial_share", "0.05"),
        ("[scheduling]\npartial_share = 1.1", "scheduling.partial_share", "1.0"),
        ("[log]\nlevel = 'loud'", "log.level", "loud"),
        ("[[microphones]]\nrate = 11025", "microphones[0].rate", "11025"),
        ("[[microphones]]\nname = 'a b'", "microphones[0].name", "matching"),
        ("[[microphones]]\n[[microphones]]\nname='a'\nchannel = -1", "microphones[1].channel", ">= 0"),
        ("[[microphones]]\nlanguage = 'EN'", "microphones[0].language", "matching"),
        ("[[microphones]]\nname='a'\n[[microphones]]\nname='a'", "microphones.name", "same name"),
        ("[[microphones]]\n[[microphones]]", "microphones.name", "same name"),
        ("[server", "", "table declaration"),
        ("port = 80\nport = 81", "", "overwrite"),
    ],
)
def test_errors_name_the_file_the_key_and_what_was_expected(tmp_path, text, key, expected):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: {key}")
    assert expected in message
    assert "`$" not in message


def test_a_missing_file_and_one_that_is_no_text(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml: "):
        load(binary)


def test_overrides_go_over_the_file(tmp_path):
    path = written(tmp_path, "[server]\nport = 9000\nhost = 'a'")
    config = load(path, {"server": {"port": 9001}, "log": {"level": "debug"}})
    assert (config.server.port, config.server.host, config.log.level) == (9001, "a", "debug")


def test_bad_overrides_are_errors_too():
    with pytest.raises(ConfigError, match=r"^configuration: server\.port: Expected"):
        load(None, {"server": {"port": "x"}})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "/a"}, "/a/models"),
        ({"STATE_DIRECTORY": "/a:/b", "XDG_DATA_HOME": "/c"}, "/a/models"),
        ({"XDG_DATA_HOME": "/c"}, "/c/appliance/models"),
        ({"HOME": "/d"}, "/d/.local/share/appliance/models"),
    ],
)
def test_where_packs_are(monkeypatch, environment, expected):
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(load().models_dir) == expected


def test_packs_may_be_elsewhere(monkeypatch):
    monkeypatch.setenv("HOME", "/d")
    assert str(load(None, {"recognizer": {"models_dir": "~/packs"}}).models_dir) == "/d/packs"
