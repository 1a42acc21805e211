import json

import pytest
from click.testing import CliRunner

from appliance.board.detect import Profile
from appliance.cli.models import models
from appliance.packs import catalogue
from appliance.packs.catalogue import Pack
from appliance.packs.sources import Archive
from tests.packs.publisher import MODEL, folder, publishing

NAME = "vosk-model-small-hi-9"


@pytest.fixture
def run(tmp_path):
    """The command with the rest of its line: exit code, stdout, stderr."""

    def call(*words, **env):
        result = CliRunner().invoke(models, [*words, "--models-dir", str(tmp_path / "models")], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    return call


def test_install_list_verify_remove(run, tmp_path):
    source = folder(tmp_path / NAME)
    assert run("install", str(source)) == (
        0,
        f"{NAME} is installed: language hi, 0.0 MB\n",
        f"installing {source}\n",
    )
    assert run("verify", NAME) == (0, f"{NAME}: good\n", "")
    code, out, err = run("list")
    assert (code, err) == (0, "")
    [line] = [line for line in out.splitlines() if line.startswith(f"{NAME} ")]
    assert f"{NAME}: general Hindi, not measured" in out.splitlines()
    assert line.split() == [NAME, "hi", "0.0", "MB", "?", "yes"]
    assert run("remove", NAME) == (0, f"{NAME} is removed\n", "")
    assert NAME not in run("list")[1]


def test_the_list_shows_all_that_can_be_had(run):
    _, out, _ = run("list")
    table, _, more = out.partition("\n\n")
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert lines["vosk-model-small-en-in-0.4"] == ["en-in", "38", "MB", "1", "in", "2*", "Apache-2.0"]
    assert lines["vosk-model-br-0.8"] == ["br", "?", "MIT"]
    assert lines["whisper-tiny-en"] == ["en", "43", "MB", "1", "in", "20", "MIT", "embedded"]
    assert max(map(len, table.splitlines())) <= 80
    assert more.splitlines()[-2:] == [
        "kiosk-words: letters, numbers, months and commands only",
        "whisper-tiny-en: general English, about 1 word in 20 wrong on clear speech, 1 in 3 with a strong accent",
    ]


def test_the_list_as_json(run, tmp_path):
    run("install", str(folder(tmp_path / NAME)), "--language", "mr")
    folder(tmp_path / "models" / "half", {"am/final.mdl": b"x"})
    code, out, _ = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows[NAME]["installed"]
    assert rows[NAME]["language"] == "mr"
    assert rows[NAME]["size"] > sum(map(len, MODEL.values()))
    assert rows[NAME]["path"].startswith(str(tmp_path / "models"))
    assert (rows["half"]["installed"], rows["half"]["broken"]) == (False, True)
    assert not rows["vosk-model-small-hi-0.22"]["installed"]
    assert rows["vosk-model-small-hi-0.22"]["size"] == 44_458_845
    assert len(rows) == len(json.loads(out))


def test_broken_packs_show_and_fail_the_check_of_all(run, tmp_path):
    run("install", str(folder(tmp_path / NAME)))
    (tmp_path / "models" / NAME / "am" / "final.mdl").unlink()
    assert [line.split()[-1] for line in run("list")[1].splitlines() if line.startswith(f"{NAME} ")] == ["broken"]
    code, _, err = run("verify")
    assert code == 1
    assert err == f"{NAME}: am/final.mdl is missing\n"


@pytest.mark.parametrize(
    "words", [("install", "nothing"), ("remove", "nothing"), ("verify", "nothing"), ("remove", "../nothing")]
)
def test_problems_are_one_line_and_exit_code_1(run, words):
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"Error: {words[1]} is ")
    assert len(err.splitlines()) == (2 if words[0] == "install" else 1)


@pytest.mark.parametrize("words", [("remove",), ("sing",), ("list", "--loud")])
def test_usage_errors_are_exit_code_2(run, words):
    assert run(*words)[0] == 2


def test_install_without_a_name_takes_the_next_better_pack(run, monkeypatch):
    monkeypatch.setattr(
        "appliance.cli.models.detect", lambda: Profile(name="x", title="x", models=(NAME, "whisper-tiny-en"))
    )
    with publishing() as publisher:
        pack = Pack(NAME, "vosk", "en", sources=(Archive(f"{publisher.url}/{NAME}.zip"),))
        monkeypatch.setattr(catalogue, "CATALOGUE", (pack, *catalogue.CATALOGUE))
        monkeypatch.setattr("appliance.packs.selection.CATALOGUE", (pack, *catalogue.CATALOGUE))
        assert run("install")[:2] == (0, f"{NAME} is installed: language en, 0.0 MB\n")
    code, _, err = run("install")
    assert code == 2
    assert "which model? The best one for this board is there" in err


@pytest.mark.parametrize("terminal", [False, True])
def test_a_download_shows_its_progress(run, monkeypatch, terminal):
    with publishing() as publisher:
        pack = Pack(NAME, "vosk", "hi", sources=(Archive(f"{publisher.url}/{NAME}.zip"),))
        monkeypatch.setattr(catalogue, "CATALOGUE", (pack,))
        code, out, err = run("install", NAME, **({"FORCE_COLOR": "1", "COLUMNS": "80"} if terminal else {}))
    assert (code, out) == (0, f"{NAME} is installed: language hi, 0.0 MB\n")
    if terminal:
        assert "━" in err
        assert NAME in err
    else:
        assert err == f"installing {NAME}\n"
