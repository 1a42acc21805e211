import re
import stat
import time

import pytest
from click.testing import CliRunner

from appliance.accounts.keys import Keys
from appliance.cli import main
from appliance.setup.apply import Places, apply, run_here
from appliance.setup.card import Card
from tests.setup.box import SSH_KEY

STATE = "var/lib/private/appliance"


def said(outcome):
    return [str(problem) for problem in outcome.problems]


def test_a_box_without_settings(box):
    outcome = box.start()
    assert said(outcome) == []
    assert outcome.summary == "host appliance"
    assert box.config == {"server": {"host": "0.0.0.0"}}
    shown = box.text("/run/issue.d/appliance.issue")
    assert "http://appliance.local:8080" in shown
    [key] = box.keys.all()
    assert box.keys.find(shown.split("API key: ")[1].split()[0]) == key
    assert box.on_card("appliance-errors.txt") is None


def test_everything_is_put_into_place(box):
    box.write(
        "name = kitchen\nwifi = home\nwifi-password = 12345678\ncountry = de\naddress = 192.168.1.20/24\n"
        "timezone = Europe/Berlin\ntime-server = ntp.example\nkey = tablet 0123456789abcdef\nmicrophone = USB\n"
        f"model = kiosk-words\nlights = board\nssh-key = {SSH_KEY}\n"
    )
    outcome = box.start()
    assert said(outcome) == []
    assert box.text("/etc/hostname") == "kitchen\n"
    assert "Passphrase=12345678" in box.text("/var/lib/iwd/home.psk")
    assert "Address=192.168.1.20/24" in box.text("/etc/systemd/network/10-appliance.network")
    assert (box.root / "etc/localtime").is_symlink()
    assert box.names == ["appliance.txt: tablet"]
    assert box.config["lights"] == {"driver": "gpio"}
    assert box.config["recognizer"] == {"model": "kiosk-words"}
    assert box.text("/root/.ssh/authorized_keys") == f"{SSH_KEY}\n"
    assert "HostKey /data/setup/ssh/ssh_host_ed25519_key\n" in box.text("/etc/ssh/sshd_config.d/00-appliance.conf")
    assert (box.data / "setup/ssh/ssh_host_ed25519_key").exists()
    assert stat.S_IMODE((box.data / "setup").stat().st_mode) == 0o700
    assert box.on_card("appliance-key.txt") is None


def test_another_start_writes_nothing_to_the_card(box, monkeypatch):
    box.write("name = kitchen\nwfi = x\n")
    box.start()
    monkeypatch.setattr(Card, "_writable", lambda self: pytest.fail("written to"))
    box.start()


def test_good_lines_count_and_bad_ones_are_told(box):
    box.write("name = kitchen\nwifi = home\nwifi-password = 1234567\nmodel = big\n")
    outcome = box.start()
    assert not outcome.failed
    assert [line.split(":")[0] for line in said(outcome)] == ["line 3", "line 4"]
    assert box.text("/etc/hostname") == "kitchen\n"
    on_card = box.on_card("appliance-errors.txt")
    assert "line 3: `wifi-password`: the Wi-Fi password has 7 characters; it needs 8 to 63\r\n" in on_card
    assert "line 4: `model`: there is no model big on this box; those are: kiosk-words" in on_card
    assert "line 3: " in box.text("/run/issue.d/appliance.issue")


def test_the_file_of_the_errors_goes_when_there_are_none(box):
    box.write("foo = bar")
    box.start()
    assert box.on_card("appliance-errors.txt")
    box.write("name = bar")
    box.start()
    assert box.on_card("appliance-errors.txt") is None


def test_keys_follow_the_file(box):
    box.write("key = a 0123456789abcdef\nkey = b fedcba9876543210")
    box.start()
    assert box.names == ["appliance.txt: a", "appliance.txt: b"]
    box.keys.create("by hand", now=0)
    box.write("key = b fedcba9876543210")
    box.start()
    assert box.names == ["appliance.txt: b", "by hand"]


def test_a_key_line_with_a_mistake_does_not_make_one_up(box):
    box.write("key = a short")
    outcome = box.start()
    assert (box.names, box.on_card("appliance-key.txt")) == ([], None)
    assert len(outcome.problems) == 1
    assert "short" not in str(outcome.problems[0])


def test_an_open_house_needs_no_key(box):
    box.write("access = open")
    box.start()
    assert (box.names, box.on_card("appliance-key.txt")) == ([], None)
    assert box.config["server"] == {"host": "0.0.0.0", "auth": "open"}
    box.write("access = keys")
    box.start()
    assert box.names == ["appliance-key.txt"]


def test_the_screen_shows_the_key_as_long_as_it_is_on_the_card(box):
    box.start()
    assert "API key" in box.text("/run/issue.d/appliance.issue")
    assert stat.S_IMODE((box.root / "run/issue.d/appliance.issue").stat().st_mode) == 0o600
    (box.card / "appliance-key.txt").unlink()
    box.start()
    assert "API key" not in box.text("/run/issue.d/appliance.issue")
    assert box.names == ["appliance-key.txt"]


def test_another_name_is_on_the_page_of_the_key_too(box):
    box.start()
    [key] = re.findall(r"sak_\S+", box.on_card("appliance-key.txt"))
    box.write("name = kitchen")
    box.start()
    assert "http://kitchen.local:8080" in box.on_card("appliance-key.txt")
    assert key in box.on_card("appliance-key.txt")


def test_ones_own_configuration(box):
    box.write("access = open\nlanguage = de")
    (box.card / "appliance.toml").write_bytes("# für uns\r\n[server]\r\nport = 8088\r\n".encode("utf-16"))
    assert said(box.start()) == []
    assert box.config == {
        "server": {"host": "0.0.0.0", "auth": "open", "port": 8088},
        "recognizer": {"language": "de"},
    }
    assert "http://appliance.local:8088" in box.text("/run/issue.d/appliance.issue")


def test_ones_own_configuration_with_a_mistake(box):
    box.write("language = de")
    box.write("[server]\nprot = 80\n", "appliance.toml")
    outcome = box.start()
    assert said(outcome) == ["appliance.toml is not used: server: Object contains unknown field `prot`"]
    assert not outcome.failed
    assert box.config["recognizer"] == {"language": "de"}


def test_a_card_without_the_file_changes_no_keys(box, monkeypatch):
    box.write("key = a 0123456789abcdef")
    box.start()
    (box.card / "appliance.txt").unlink()
    outcome = box.start()
    assert box.names == ["appliance.txt: a"]
    assert said(outcome) == ["the API keys: the card's FAT partition is not there, so none is made"]
    assert outcome.failed
    assert list(box.card.iterdir()) == []


def test_one_part_that_fails_does_not_keep_the_others(box):
    accounts = box.root / STATE / "accounts"
    accounts.mkdir(parents=True)
    (accounts / "keys.json").write_text("{")
    (box.root / "etc" / "iwd").write_text("a file where a folder belongs")
    box.write(f"country = de\nname = kitchen\nssh-key = {SSH_KEY}\n")
    outcome = box.start()
    assert outcome.failed
    assert len(outcome.problems) == 2
    assert said(outcome)[0].startswith("/etc/iwd/main.conf: ")
    assert "keys.json is damaged" in said(outcome)[1]
    assert box.text("/etc/hostname") == "kitchen\n"
    assert (box.root / "root/.ssh/authorized_keys").exists()
    assert "keys.json is damaged" in box.on_card("appliance-errors.txt")
    assert (accounts / "keys.json").read_text() == "{"


def test_what_the_daemon_keeps_is_as_systemd_takes_it_over(box):
    box.start()
    for folder in (STATE, f"{STATE}/accounts"):
        assert stat.S_IMODE((box.root / folder).stat().st_mode) == 0o700


def test_no_secret_is_told(box):
    secrets = ["hunter2", "0123456789abcde", "0123456789abcdef", "my-own-password"]
    box.write(
        f"wifi = home\nwifi-password = {secrets[0]}\nkey = {secrets[1]}\nkey = a {secrets[1]}\nkey = b {secrets[2]}\n"
        f"{secrets[3]} = x\n{secrets[3]}\nname = kitchen\nname = {secrets[3]}\n"
    )
    outcome = box.start()
    assert len(outcome.problems) == 6
    told = [
        *said(outcome),
        outcome.summary,
        box.on_card("appliance-errors.txt"),
        box.text("/run/issue.d/appliance.issue"),
    ]
    assert not [secret for secret in secrets for text in told if secret in text]


def test_commands_are_run_on_the_system_itself_only(box):
    box.write(f"name = kitchen\nssh-key = {SSH_KEY}")
    box.start()
    assert [command[0] for command in box.ran] == ["ssh-keygen"]


def test_it_is_quick(box):
    box.write("name = kitchen\nkey = a 0123456789abcdef\nwfi = home")
    began = time.process_time()
    box.start()
    assert time.process_time() - began < 1


class TestCommand:
    def run(self, box):
        result = CliRunner().invoke(main, ["setup", "--root", str(box.root)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    def test_what_the_journal_hears(self, box):
        box.write("name = kitchen\nwfi = home")
        told = "appliance: line 2: `wfi` is not a setting; did you mean `wifi`?\n"
        assert self.run(box) == (0, "set up: host kitchen\n", told)

    def test_a_failure_is_its_exit_status(self, box):
        (box.root / "usr/share/appliance/appliance.toml").unlink()
        status, _, told = self.run(box)
        assert (status, told) == (1, "appliance: the appliance's configuration: No such file or directory\n")

    def test_partitions_elsewhere(self, box, tmp_path):
        (tmp_path / "card").mkdir()
        (tmp_path / "card" / "appliance.txt").touch()
        options = ["--root", str(box.root), "--card", str(tmp_path / "card"), "--data", str(tmp_path / "kept")]
        assert CliRunner().invoke(main, ["setup", *options]).exit_code == 0
        assert (tmp_path / "card" / "appliance-key.txt").exists()
        assert (tmp_path / "kept" / "setup" / "first-key").exists()
        assert not box.data.exists()

    def test_nobody_else_may_make_keys_of_such_names(self, box):
        for name in ("appliance-key.txt", "appliance.txt: tablet"):
            result = CliRunner().invoke(main, ["keys", "create", name], env={"STATE_DIRECTORY": str(box.data)})
            assert result.exit_code == 2
            assert "choose another name" in result.stderr
        assert Keys(box.data / "accounts").all() == ()


class TestCommands:
    def test_what_it_says_when_it_fails(self):
        with pytest.raises(OSError, match="sh: no such thing"):
            run_here(("sh", "-c", "echo no such thing >&2; exit 3"))
        with pytest.raises(OSError, match="sh: exit status 3"):
            run_here(("sh", "-c", "exit 3"))

    def test_one_that_is_not_there(self):
        with pytest.raises(OSError, match="no-such-command is not installed"):
            run_here(("no-such-command",))

    def test_one_that_hangs(self, monkeypatch):
        monkeypatch.setattr("appliance.setup.apply.COMMAND_S", 0.01)
        with pytest.raises(OSError, match="sleep does not end"):
            run_here(("sleep", "9"))

    def test_a_name_without_a_file(self, tmp_path):
        (tmp_path / "card").mkdir()
        outcome = apply(Places(tmp_path, tmp_path / "card", tmp_path / "data"), lambda command: None)
        assert outcome.summary == "host appliance"
