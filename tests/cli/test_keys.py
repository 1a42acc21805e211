import json
import re
import time

import pytest
from click.testing import CliRunner

from appliance.accounts.gate import Accounts
from appliance.accounts.keys import Keys
from appliance.cli import main
from appliance.cli.keys import keys
from appliance.core.problems import Kind, Refused

OWN = "a-key-of-my-own-16"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "accounts"


@pytest.fixture
def run(tmp_path, folder):
    """The command with the rest of its line: exit code, stdout, stderr."""
    config = tmp_path / "box.toml"
    config.write_text(f"[server]\nstate_dir = '{folder.parent}'\n")

    def call(*words, **env):
        result = CliRunner().invoke(keys, [*words, "--config", str(config)], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    return call


def rows(run):
    return {row["name"]: row for row in json.loads(run("list", "--json")[1])}


def test_create_prints_the_key_once(run, folder):
    code, out, err = run("create", "kitchen")
    assert code == 0
    assert re.fullmatch(r"sak_[A-Za-z0-9_-]{32}\n", out)
    key = Keys(folder).find(out.strip())
    assert key.name == "kitchen"
    assert err.startswith(f"{key.id} is created; its key is shown now and never again")
    assert out.strip() not in err
    for words in (("list",), ("list", "--json"), ("set", key.id, "--streams", "1"), ("revoke", key.id)):
        code, *texts = run(*words)
        assert code == 0
        assert out.strip() not in "".join(texts)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ([], {"streams": None, "seconds": None, "expires": None, "streaming": True, "terms": True, "admin": False}),
        (["--admin"], {"admin": True, "state": "good, may update"}),
        (["--no-admin"], {"admin": False, "state": "good"}),
        ([], {"microphones": False}),
        (["--microphones"], {"microphones": True, "state": "good, may listen"}),
        (["--no-microphones"], {"microphones": False, "state": "good"}),
        (["--streams", "3"], {"streams": 3}),
        (["--streams", "0"], {"streams": None}),
        (["--minutes", "1.5"], {"seconds": 90}),
        (["--minutes", "0"], {"seconds": 0}),
        (["--unlimited"], {"seconds": None}),
        (["--expires", "0"], {"expires": None}),
        (["--no-streaming"], {"streaming": False}),
        (["--no-terms"], {"terms": False}),
        (["--terms", "--streaming"], {"streaming": True, "terms": True}),
    ],
)
def test_what_a_key_may_do_can_be_given_and_changed(run, words, fields):
    assert run("create", "new", *words)[0] == 0
    run("create", "old", "--streams", "9", "--minutes", "9", "--expires", "9", "--no-streaming", "--no-terms")
    before = rows(run)["old"]
    if words:
        assert run("set", before["id"], *words) == (0, f"{before['id']} (old) is changed\n", "")
    after = rows(run)
    assert after["new"] | fields == after["new"]
    if words:
        assert {k: v for k, v in after["old"].items() if k != "state"} == {
            k: v for k, v in (before | fields).items() if k != "state"
        }


def test_days_count_from_now(run):
    run("create", "guest", "--expires", "0.5")
    assert rows(run)["guest"]["expires"] == pytest.approx(time.time() + 43_200, abs=60)


def test_a_key_of_ones_own(run, folder):
    assert run("create", "old app", "--key", OWN)[:2] == (0, f"{OWN}\n")
    assert Keys(folder).find(OWN).name == "old app"
    code, out, err = run("create", "again", "--key", OWN)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"Error: this key is known already, as k_\w+ \(old app\)\n", err)


def test_the_list(run, folder):
    assert run("list")[:2] == (0, "id  name  streams  minutes  expires  state\n")
    run("create", "kitchen [red]")
    run("create", "trial", "--minutes", "10", "--streams", "2")
    trial = rows(run)["trial"]["id"]
    (folder / "usage.json").write_text(json.dumps({trial: 90.0}))
    code, out, err = run("list", COLUMNS="80")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()[1:]]
    assert lines[0][1:] == ["kitchen", "[red]", "any", "0.0", "of", "any", "never", "good"]
    assert lines[1] == [trial, "trial", "2", "1.5", "of", "10", "never", "good"]
    assert rows(run)["trial"]["used_seconds"] == 90


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["--no-terms"], "terms not accepted"),
        (["--no-streaming"], "no streaming"),
        (["--minutes", "0"], "used up"),
        (["--expires", "1e-9"], "expired"),
        (["--expires", "1"], "good"),
    ],
)
def test_states(run, words, state):
    run("create", "one", *words)
    assert rows(run)["one"]["state"] == state
    assert run("list", COLUMNS="100")[1].rstrip().endswith(state)


def test_a_running_gate_sees_every_change(run, folder):
    gate = Accounts(folder, open_house=False, clock=time.time)

    def refusal():
        with pytest.raises(Refused) as refused:
            gate.admit([OWN], "v3", "192.0.2.7")
        return refused.value.problem.kind

    assert refusal() is Kind.BAD_KEY
    run("create", "one", "--key", OWN, "--minutes", "1")
    assert not gate.admit([OWN], "v3", "192.0.2.7").spend(60)
    gate.save()
    assert rows(run)["one"]["state"] == "used up"
    assert refusal() is Kind.QUOTA_EXCEEDED
    id = rows(run)["one"]["id"]
    run("set", id, "--minutes", "2")
    gate.admit([OWN], "v3", "192.0.2.7")
    run("set", id, "--no-terms")
    assert refusal() is Kind.TERMS_NOT_ACCEPTED
    run("set", id, "--terms", "--no-streaming")
    assert refusal() is Kind.NOT_ALLOWED
    assert run("revoke", id) == (0, f"{id} (one) is revoked\n", "")
    assert refusal() is Kind.BAD_KEY


@pytest.mark.parametrize("words", [("revoke", "k_000000"), ("set", "k_000000", "--streams", "1")])
def test_problems_are_one_line_and_exit_code_1(run, words):
    assert run(*words) == (1, "", "Error: there is no key k_000000\n")


@pytest.mark.parametrize("file", ["keys.json", "usage.json"])
def test_damaged_files_are_one_line_and_exit_code_1(run, folder, file):
    run("create", "one")
    (folder / file).write_bytes(b"{")
    code, out, err = run("list")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert str(folder / file) in err


@pytest.mark.parametrize(
    "words",
    [
        ("create",),
        ("create", ""),
        ("create", "a\nb"),
        ("create", "x", "--key", "short"),
        ("create", "x", "--streams", "-1"),
        ("create", "x", "--minutes", "nan"),
        ("create", "x", "--minutes", "inf"),
        ("create", "x", "--expires", "36501"),
        ("create", "x", "--minutes", "1", "--unlimited"),
        ("set", "k_000000"),
        ("set", "k_000000", "--key", OWN),
        ("revoke",),
        ("sing",),
    ],
)
def test_usage_errors_are_exit_code_2(run, folder, words):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: ")
    assert Keys(folder).all() == ()


def test_a_bad_configuration_is_exit_code_2(tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text("colour = 1")
    result = CliRunner().invoke(main, ["keys", "list", "--config", str(config)])
    assert result.exit_code == 2
    assert "colour" in result.stderr
