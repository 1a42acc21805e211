from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.trust import trust
from appliance.server.authority import Authority
from appliance.server.certificates import read
from appliance.server.platforms import PLATFORMS


@pytest.fixture
def run(tmp_path):
    """The command with its words and a configuration: exit code, stdout, stderr."""

    def call(*words, text=""):
        file = tmp_path / "box.toml"
        file.write_text(f'{text}\n[server]\nstate_dir = "{tmp_path / "state"}"\n')
        result = CliRunner().invoke(trust, [*words, "--config", str(file)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    return call


def test_it_makes_the_authority_once_and_says_how_to_trust_it(run, tmp_path):
    code, out, err = run()
    assert (code, err) == (0, "")
    ca = read((tmp_path / "state" / "tls" / "ca.pem").read_bytes())
    assert ca.fingerprint in out.splitlines()
    assert str(tmp_path / "state" / "tls" / "ca.pem") in out
    for platform in PLATFORMS:
        assert platform.title in out.splitlines()
    assert "sudo update-ca-certificates" in out
    assert "https://THIS-BOX:8443" in out
    assert run() == (0, out, "")


def test_what_the_daemon_uses_is_what_it_shows(run, tmp_path):
    authority = Authority(tmp_path / "state" / "tls")
    authority.renew()
    assert authority.ca
    assert authority.ca.fingerprint in run()[1]
    assert run("--pem") == (0, authority.ca.pem, "")


def test_the_pem_comes_alone(run, tmp_path):
    code, out, err = run("--pem")
    assert (code, err) == (0, "")
    assert out == (tmp_path / "state" / "tls" / "ca.pem").read_text()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("[tls]\nenabled = false", 1, "tls.enabled is false"),
        ('[tls]\ncertificate = "/a.pem"\nkey = "/a.key"', 1, "tls.certificate is /a.pem: the box has no authority"),
        ('[tls]\ncertificate = "/a.pem"', 2, "tls.key: is empty"),
        ('[tls]\nkey = "/a.key"', 2, "tls.certificate: is empty"),
        ('[tls]\nport = "x"', 2, "tls.port"),
        ("[tls]\ncolour = 1", 2, "colour"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--pem",)])
def test_where_there_is_no_authority_that_is_one_line(run, tmp_path, text, code, words, options):
    got, out, err = run(*options, text=text)
    assert (got, out, len(err.splitlines())) == (code, "", 1)
    assert words in err
    assert not (tmp_path / "state").exists()


def test_a_damaged_authority_is_one_line_and_stays(run, tmp_path):
    run()
    key: Path = tmp_path / "state" / "tls" / "ca.key"
    key.write_bytes(key.read_bytes()[:300])
    code, out, err = run("--pem")
    assert (code, out) == (1, "")
    assert err.startswith(f"appliance: {key}: is damaged; restore it")
    assert len(key.read_bytes()) == 300
