import tomllib

import pytest

from appliance.config import load
from appliance.setup import apply, configuration
from appliance.setup.configuration import compose
from tests.setup.box import SOURCE

SHIPPED = (SOURCE / "systemd" / "appliance.toml").read_text()


@pytest.fixture
def composed(tmp_path):
    def call(tables, own=None, shipped=SHIPPED):
        scratch = tmp_path / "trial.toml"
        text, problems = compose(shipped, tables, own, scratch)
        assert not scratch.exists()
        return text, [str(problem) for problem in problems]

    return call


def test_without_wishes_it_is_as_shipped(composed):
    assert composed({}) == (SHIPPED, [])


def test_layers(composed):
    text, problems = composed({"server": {"auth": "open"}}, '[server]\nport = 80\n[log]\nlevel = "debug"\n')
    assert tomllib.loads(text) == {"server": {"host": "0.0.0.0", "auth": "open", "port": 80}, "log": {"level": "debug"}}
    assert problems == []


def test_ones_own_counts_most(composed):
    text, _ = composed({"server": {"auth": "open"}}, '[server]\nauth = "keys"\n')
    assert tomllib.loads(text)["server"]["auth"] == "keys"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("[server]\nport = 'x'\n", "appliance.toml is not used: server.port: Expected `int`, got `str`"),
        ("[server\n", "appliance.toml is not used: Expected ']' at the end of a table declaration"),
        ("a = 1\n", "appliance.toml is not used: Object contains unknown field `a`"),
    ],
)
def test_what_the_daemon_would_refuse_is_not_used(composed, own, said):
    text, [problem] = composed({"server": {"auth": "open"}}, own)
    assert problem.startswith(said)
    assert tomllib.loads(text)["server"] == {"host": "0.0.0.0", "auth": "open"}


def test_wishes_that_do_not_go_with_what_was_shipped(composed):
    text, [problem] = composed({"tls": {"certificate": "a"}})
    assert problem.startswith("the appliance is configured as it was shipped: tls.key: is empty")
    assert text == SHIPPED


def test_ones_own_may_be_good_alone_only(composed):
    shipped = '[tls]\ncertificate = "a"\nkey = "b"\n'
    text, [problem] = composed({}, '[tls]\nkey = ""\n', shipped)
    assert problem.startswith("appliance.toml is not used, it does not go with appliance.txt: tls.key: is empty")
    assert text == shipped


def test_the_port_on_the_screen_is_that_of_the_defaults():
    assert load().server.port == apply.PORT


def test_the_head_is_a_comment():
    assert tomllib.loads(configuration.HEAD) == {}
